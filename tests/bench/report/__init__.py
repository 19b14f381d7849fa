"""What `deploy/PERFORMANCE.md` shows of runs: tables and pictures, made from their JSON."""
