"""A package, so that one test file can repeat the tests of another under other conditions."""
