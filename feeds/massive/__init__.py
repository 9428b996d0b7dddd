"""Massive's wire (formerly Polygon.io): its sockets and its REST. Another vendor is another folder beside this one."""
