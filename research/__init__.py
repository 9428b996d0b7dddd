"""What the alerts are worth: results over many days, and how sure one can be of them. The worker never imports it."""
