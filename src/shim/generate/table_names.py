"""Counter names of the private export tables: one for each known one (first 8 digits of its UUID), one for the rest.

The order is that of vgpu::shim::TableId (src/shim/tables/tables.hpp), which a test compares with this list.
"""
TABLE_NAMES = ["cuGetExportTable:" + table for table in (
    "6bd5fb6c", "a094798c", "42d85a81", "c693336e", "263e8860", "d4082055", "21318c60", "1734dc26", "6e163fbe",
    "da9151d3", "69a28e9f", "f8cff951", "unknown")]
