"""What is done with all of it: command line, evaluation, leaderboards, reports, benchmarks."""
