"""What The Plugs is measured against."""
