"""Charts that reports and run folders share."""
