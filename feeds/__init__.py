"""What any vendor's stream needs. The modules here know a vendor by `feeds.vendor` alone; ``massive`` is one vendor's wire."""
