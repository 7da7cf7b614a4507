"""What runs on a worker; the only package shipped, importing none of ours."""
