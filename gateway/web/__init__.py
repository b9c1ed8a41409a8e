"""What every door shares on HTTP, and the doors that belong to no dialect."""
