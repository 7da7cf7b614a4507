"""Everything after a trial: records, their table, their pictures."""
