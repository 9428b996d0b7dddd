"""A report as one HTML file that needs nothing else: charts and tables, for a browser, on a phone too."""
