"""What could this machine do at best? Small programs that do the unavoidable part of the work and nothing else."""
