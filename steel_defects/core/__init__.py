"""What everything else stands on: errors, files, the machine, the paper's numbers, run folders."""
