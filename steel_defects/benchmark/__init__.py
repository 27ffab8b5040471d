"""What `steel_defects.benchmark` is made of: systems, engines, timing, and the tables of what was measured."""
