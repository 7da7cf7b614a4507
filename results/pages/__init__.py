"""What people look at: tables, reports, figures."""
