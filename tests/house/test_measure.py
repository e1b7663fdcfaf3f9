"""The measures find what they are there to find, in files written to offend."""

from textwrap import dedent

from tests.house.measure import File, import_cycle, percentile


def written(text: str, name: str = "shop.orders") -> File:
    """A file that exists only here."""
    return File(path=f"{name.replace('.', '/')}.py", name=name, text=dedent(text))


def test_docstring_is_no_line_of_a_function() -> None:
    """A function's length is what it does: its docstring and decorators are left out."""
    file = written('''
        @cache
        def total(prices: list[int]) -> int:
            """The sum.

            In cents.
            """
            return sum(prices)
    ''')

    [function] = file.functions

    assert function.lines == 2


def test_each_turn_counts_once() -> None:
    """Conditions, loops, `and` and comprehensions each add one; a nested function adds none."""
    file = written("""
        def pick(rows):
            def is_good(row):
                return row or None
            if rows and rows[0]:
                return [row for row in rows if is_good(row)]
            for row in rows:
                pass
    """)

    branches = {function.node.name: function.branches for function in file.functions}

    assert branches == {"pick": 6, "is_good": 2}


def test_private_parts_need_no_docstring() -> None:
    """Public is what no underscore hides and no function holds; a setter needs no words."""
    file = written("""
        class Basket:
            def add(self): ...
            def _weigh(self): ...
            @total.setter
            def total(self, value): ...
        class _Shelf:
            def take(self): ...
        def pay():
            def ask(): ...
    """)

    public = [each.where.split()[-1] for each in file.definitions if each.is_public]

    assert public == ["Basket", "Basket.add", "pay"]


def test_every_kind_of_parameter_needs_a_type() -> None:
    """Positional, starred and keyword parameters and the return count; self does not."""
    file = written("""
        class Basket:
            def add(self, goods, /, *more, gift: bool, **rest): ...
    """)

    [function] = file.functions

    assert function.bare_names == ["goods", "more", "rest", "return"]


def test_only_comments_for_readers_count() -> None:
    """A file's head and directives to tools are no comments."""
    file = written('''
        #!/usr/bin/env python3
        # Licence and so on.
        """Orders."""
        # Paid first: an order without money is a wish.
        import stripe  # type: ignore[import-untyped]
        total = 0  # cents
    ''')

    assert (file.code_lines, file.comment_lines) == (2, 2)


def test_cycle_through_a_lazy_import_is_found() -> None:
    """An import inside a function closes a cycle like any other."""
    orders = written("from shop import bills")
    bills = written(
        """
        def late():
            from shop.orders import Order
        """,
        name="shop.bills",
    )

    cycle = import_cycle([orders, bills])

    assert set(cycle) == {"shop.orders", "shop.bills"}


def test_clock_is_found_under_another_name() -> None:
    """Renaming an import hides no clock, and neither does handing it on."""
    file = written("""
        from time import monotonic as tick
        from datetime import datetime as dt
        started = dt.now()
        watch = Watch(tick)
    """)

    assert file.clocks == ["shop/orders.py:4", "shop/orders.py:5"]


def test_yielding_is_no_sleep() -> None:
    """sleep(0) lets others run; any other sleep waits for time to pass."""
    file = written("""
        import asyncio
        async def rest():
            await asyncio.sleep(0)
            await asyncio.sleep(0.1)
    """)

    assert file.sleeps == ["shop/orders.py:5"]


def test_percentile_is_a_value_that_occurs() -> None:
    """The nearest rank is taken, so that the figure belongs to a place one can look at."""
    assert percentile(range(1, 101), 0.95) == 96
    assert percentile([], 0.95) == 0
