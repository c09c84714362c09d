"""Every architecture: its time and its dollars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tasks.costs.assumptions import DAY_SECONDS, Assumptions, Range
from tasks.costs.price_book import HOME_REGION, Book, Price, Term
from tasks.costs.rates import HOURS_A_MONTH
from tasks.planning.estimate import Estimate, Estimates, Running, Shape
from tasks.planning.page_times import PageTimes

ECS_FIRST_MACHINES = 2
"""That ECS starts where there is none, however few tasks want one: its metric then says 200 % of what there is
(https://aws.amazon.com/blogs/containers/deep-dive-on-amazon-ecs-cluster-auto-scaling/)."""
_ENDPOINTS = {Shape.SAGEMAKER, Shape.SAGEMAKER_ASYNC}


Way = tuple[Shape, Running, Term]


def estimates(
    pages: int, given: Assumptions, times: PageTimes, book: Book, ways: Iterable[Way] | None = None
) -> Estimates:
    """Every architecture for so many pages, or those of the ways that are named."""
    rows, prices, unpriced = [], [], []
    for shape, running, term in _combinations() if ways is None else ways:
        if shape is Shape.FARGATE:
            rows.append(_fargate(pages, given, book))
            prices += _small(book, given.region, "fargate:vcpu", "fargate:gb", *(["ipv4"] if given.ipv4 else []))
            continue
        item = f"ml.{given.instance_type}" if "SageMaker" in shape else given.instance_type
        price = book.find(item, given.region, term)
        own = given.usd_per_hour if term is Term.ON_DEMAND and not item.startswith("ml.") else None
        usd = own if own is not None or price is None else price.usd
        if usd is None:
            unpriced.append(f"{item}, {term}")
            continue
        if own is None and price is not None:
            prices.append(price)
        prices += _small(book, given.region, *_items_beside(shape, running, given))
        rows.append(_estimate(shape, running, term, pages, given, times, book, usd))
    return Estimates(rows=tuple(rows), prices=tuple(dict.fromkeys(prices)), unpriced=tuple(sorted(set(unpriced))))


def _combinations() -> Iterator[Way]:
    market = (Term.ON_DEMAND, Term.SPOT)
    for shape in (Shape.PER_PAGE_SERIAL, Shape.PER_PAGE_AT_ONCE):
        yield from ((shape, Running.AUTO_STOP, term) for term in market)
    for shape in (Shape.SINGLE, Shape.SEVERAL, Shape.ECS):
        yield shape, Running.WARM, Term.ON_DEMAND
        yield from ((shape, Running.AUTO_STOP, term) for term in market)
        yield from ((shape, Running.ALWAYS_ON, term) for term in Term)
    yield from ((Shape.SAGEMAKER, running, Term.ON_DEMAND) for running in (Running.AUTO_STOP, Running.ALWAYS_ON))
    yield Shape.SAGEMAKER_ASYNC, Running.AUTO_STOP, Term.ON_DEMAND
    yield from ((Shape.LAMBDA_ECS, Running.AUTO_STOP, term) for term in market)
    yield Shape.FARGATE, Running.AUTO_STOP, Term.ON_DEMAND


def _estimate(
    shape: Shape,
    running: Running,
    term: Term,
    pages: int,
    given: Assumptions,
    times: PageTimes,
    book: Book,
    usd_per_hour: float,
) -> Estimate:
    nothing = Range.exactly(0)
    boot, load = (_boot(shape, given), given.load_seconds) if running is Running.AUTO_STOP else (nothing, nothing)
    machines = {Shape.SEVERAL: given.machines, Shape.ECS: given.machines}.get(shape, 1)
    if shape is Shape.PER_PAGE_SERIAL:
        reading = times.reading(pages, 1)
        boot, load = boot.times(pages), load.times(pages)
    elif shape is Shape.PER_PAGE_AT_ONCE:
        reading, machines = times.longest(pages), pages
    else:
        reading = times.reading(pages, given.slots, machines)
    if term is Term.SPOT:
        again = given.spot_rework
        reading = Range(
            low=reading.low * (1 + again.low),
            typical=reading.typical * (1 + again.typical),
            high=reading.high * (1 + again.high),
        )
    total = boot + load + reading
    billed = _billed(shape, running, pages, given, times, total)
    if shape is Shape.ECS and running is Running.AUTO_STOP:
        machines = max(machines, ECS_FIRST_MACHINES)
    hours = billed.times(machines / 3600)
    usd = hours.times(usd_per_hour) + _beside(shape, running, term, machines, hours, given, book)
    return Estimate(
        shape=shape,
        running=running,
        term=term,
        machines=machines,
        boot=boot,
        load=load,
        reading=reading,
        total=total,
        billed=billed,
        usd=usd,
        usd_per_1000=usd.times(1000 / pages),
    )


def _fargate(pages: int, given: Assumptions, book: Book) -> Estimate:
    """Tasks that end with the last page; vCPUs share nothing, and the model loads with the task."""
    alone = given.model_copy(update={"page_seconds": given.cpu_page_seconds, "slowdown_per_slot": 0.0})
    reading = PageTimes(alone).reading(pages, given.fargate_vcpu, given.machines)
    total = given.task_seconds + reading
    billed = total.at_least(given.fargate_minimum_seconds)
    hourly = given.fargate_vcpu * book.usd("fargate:vcpu", given.region)
    hourly += given.fargate_gb * book.usd("fargate:gb", given.region)
    hourly += book.usd("ipv4", given.region) if given.ipv4 else 0.0
    usd = billed.times(given.machines * hourly / 3600)
    return Estimate(
        shape=Shape.FARGATE,
        running=Running.AUTO_STOP,
        term=Term.ON_DEMAND,
        machines=given.machines,
        boot=given.task_seconds,
        load=Range.exactly(0),
        reading=reading,
        total=total,
        billed=billed,
        usd=usd,
        usd_per_1000=usd.times(1000 / pages),
    )


def _small(book: Book, region: str, *items: str) -> list[Price]:
    """The prices of small things, of us-east-1 where the book lacks the region's."""
    found = (book.find(item, region) or book.find(item, HOME_REGION) for item in items)
    return [price for price in found if price is not None]


def _items_beside(shape: Shape, running: Running, given: Assumptions) -> list[str]:
    """What `_beside` reckons with."""
    if running is Running.WARM or shape in _ENDPOINTS:
        return []
    items = [*(["gp3:gb"] if given.disk_gb else []), *(["ipv4"] if given.ipv4 else [])]
    items += ["alb:hour", "alb:lcu"] if shape is Shape.ECS else []
    return items + (["lambda:gb_s", "lambda:request"] if shape is Shape.LAMBDA_ECS else [])


def _boot(shape: Shape, given: Assumptions) -> Range:
    if shape in _ENDPOINTS:
        return given.sagemaker_seconds
    if shape in {Shape.ECS, Shape.LAMBDA_ECS}:
        return given.boot_seconds + given.task_seconds
    return given.boot_seconds


def _billed(shape: Shape, running: Running, pages: int, given: Assumptions, times: PageTimes, total: Range) -> Range:
    """Seconds that each machine is paid for."""
    if running is Running.WARM:
        return total
    if running is Running.ALWAYS_ON:
        return total.at_least(DAY_SECONDS / given.runs_a_day)
    if shape is Shape.PER_PAGE_SERIAL:  # a machine after another, each with its minimum
        return total.times(1 / pages).at_least(given.ec2_minimum_seconds).times(pages)
    if shape is Shape.PER_PAGE_AT_ONCE:  # each ends with its own page, not with the slowest
        page = times.reading(pages, 1).times(1 / pages)
        return (given.boot_seconds + given.load_seconds + page).at_least(given.ec2_minimum_seconds)
    if shape is Shape.LAMBDA_ECS:  # the task ends with its last page
        return total.at_least(given.ec2_minimum_seconds)
    # In real time the last copy goes first, and its instance later.
    idle = given.idle_seconds + (given.component_seconds if shape is Shape.SAGEMAKER else 0)
    minimum = given.sagemaker_minimum_seconds if shape in _ENDPOINTS else given.ec2_minimum_seconds
    return (total + Range.exactly(idle)).at_least(minimum)


def _beside(
    shape: Shape, running: Running, term: Term, machines: int, hours: Range, given: Assumptions, book: Book
) -> Range:
    """USD of disks, addresses, the load balancer and the function; SageMaker's are part of its price."""
    if running is Running.WARM or shape in _ENDPOINTS:
        return Range.exactly(0)
    disk = given.disk_gb * book.usd("gp3:gb", given.region) / HOURS_A_MONTH
    address = book.usd("ipv4", given.region) if given.ipv4 else 0.0
    usd = hours.times(address)
    # A stopped machine's disk is paid for until the next run; spot and ended machines have none.
    stops = shape in {Shape.SINGLE, Shape.SEVERAL} and running is Running.AUTO_STOP and term is not Term.SPOT
    usd += Range.exactly(disk * machines * 24 / given.runs_a_day) if stops else hours.times(disk)
    if shape is Shape.ECS:
        balancer = book.usd("alb:hour", given.region) + given.alb_lcu * book.usd("alb:lcu", given.region)
        usd += Range.exactly(balancer * 24 / given.runs_a_day)
    if shape is Shape.LAMBDA_ECS:
        memory = given.lambda_seconds * given.lambda_gb * book.usd("lambda:gb_s", given.region)
        usd += Range.exactly(memory + book.usd("lambda:request", given.region))
    return usd
