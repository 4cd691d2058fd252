"""Pure functions between the store and a screen: records to cells of text, glyph and semantic style.

Nothing here does I/O, keeps a clock, or knows a terminal library. The order of reading:

    cells     Cell, widths, cutting to width        units     numbers and times at a fixed width
    glyphs    states as glyph and word              spark     sparklines and bars; heat: the heat map
    view      what a row needs: store, now, glyphs  tables    columns of each table, layout, sorting
    filter    what `/` takes                        details   label-value lines of one thing; header: totals
    snapshot  `--json` and plain text               themes    semantic style to colours, from TOML
"""
