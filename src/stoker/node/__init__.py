"""What runs on another machine beside a worker there."""
