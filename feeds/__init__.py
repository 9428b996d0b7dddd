"""What any vendor's stream needs. The modules here know a vendor only through `feeds.vendor`.

``massive`` is one vendor's wire.
"""
