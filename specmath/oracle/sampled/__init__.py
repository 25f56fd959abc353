"""Code that cannot be followed: judged by samples, with a stated error at any stopping time."""
