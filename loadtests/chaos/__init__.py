"""Jobs under fire: programs are killed while jobs are under way, and every job must still be done, once."""
