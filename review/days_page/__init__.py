"""The days as one page: a calendar, the running sum, results by hour and reason, and each day with its page."""
