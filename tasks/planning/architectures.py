"""The time and cost of reading pages on every architecture."""

from collections.abc import Iterable, Iterator

from tasks.costs.assumptions import DAY_SECONDS, Assumptions, Range
from tasks.costs.price_book import Book, Price, Term
from tasks.costs.rates import balancer_usd_per_hour, fargate_usd_per_hour, function_usd, gp3_usd_per_hour
from tasks.planning.estimate import Estimate, Estimates, Running, Shape
from tasks.planning.page_times import PageTimes

ECS_FIRST_MACHINES = 2
"""ECS starts two machines where there is none, even for one task: its metric then reports 200 % of the capacity
(https://aws.amazon.com/blogs/containers/deep-dive-on-amazon-ecs-cluster-auto-scaling/)."""
_ENDPOINTS = {Shape.SAGEMAKER, Shape.SAGEMAKER_ASYNC}
_NOTHING = Range.exactly(0)

Way = tuple[Shape, Running, Term]


def estimates(
    pages: int, given: Assumptions, times: PageTimes, book: Book, ways: Iterable[Way] | None = None
) -> Estimates:
    """Estimate time and cost for every architecture, or for the requested ones."""
    rows, prices, unpriced = [], [], []
    for shape, running, term in _combinations() if ways is None else ways:
        if shape is Shape.FARGATE:
            rows.append(_fargate(pages, given, book))
            prices += _prices(book, given.region, "fargate:vcpu", "fargate:gb", *(["ipv4"] if given.ipv4 else []))
            continue
        item = f"ml.{given.instance_type}" if "SageMaker" in shape else given.instance_type
        price = book.find(item, given.region, term)
        assumed = given.usd_per_hour if term is Term.ON_DEMAND and not item.startswith("ml.") else None
        usd = assumed if assumed is not None or price is None else price.usd
        if usd is None:
            unpriced.append(f"{item}, {term}")
            continue
        if assumed is None and price is not None:
            prices.append(price)
        prices += _prices(book, given.region, *_other_items(shape, running, given))
        rows.append(_estimate((shape, running, term), pages, given, times, book, usd))
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


def _estimate(way: Way, pages: int, given: Assumptions, times: PageTimes, book: Book, usd_per_hour: float) -> Estimate:
    shape, running, term = way
    boot, load = (_boot(shape, given), given.load_seconds) if running is Running.AUTO_STOP else (_NOTHING, _NOTHING)
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
    billed = _billed(shape, running, pages, given, times, boot + load + reading)
    if shape is Shape.ECS and running is Running.AUTO_STOP:
        machines = max(machines, ECS_FIRST_MACHINES)
    hours = billed.times(machines / 3600)
    usd = hours.times(usd_per_hour) + _other_usd(way, machines, hours, given, book)
    return _row(way, pages, machines, (boot, load, reading), billed, usd)


def _row(
    way: Way, pages: int, machines: int, stages: tuple[Range, Range, Range], billed: Range, usd: Range
) -> Estimate:
    (shape, running, term), (boot, load, reading) = way, stages
    return Estimate(
        shape=shape,
        running=running,
        term=term,
        machines=machines,
        boot=boot,
        load=load,
        reading=reading,
        total=boot + load + reading,
        billed=billed,
        usd=usd,
        usd_per_1000=usd.times(1000 / pages),
    )


def _fargate(pages: int, given: Assumptions, book: Book) -> Estimate:
    """Estimate tasks that end with the last page; vCPUs do not slow each other, and the model loads with the task."""
    on_cpu = given.model_copy(update={"page_seconds": given.cpu_page_seconds, "slowdown_per_slot": 0.0})
    reading = PageTimes(on_cpu).reading(pages, given.fargate_vcpu, given.machines)
    billed = (given.task_seconds + reading).at_least(given.fargate_minimum_seconds)
    hourly = fargate_usd_per_hour(given.fargate_vcpu, given.fargate_gb, given.region, book) + _address(given, book)
    usd = billed.times(given.machines * hourly / 3600)
    way = Shape.FARGATE, Running.AUTO_STOP, Term.ON_DEMAND
    return _row(way, pages, given.machines, (given.task_seconds, _NOTHING, reading), billed, usd)


def _prices(book: Book, region: str, *items: str) -> list[Price]:
    found = (book.nearest(item, region) for item in items)
    return [price for price in found if price is not None]


def _other_items(shape: Shape, running: Running, given: Assumptions) -> list[str]:
    """Return the items whose prices `_other_usd` uses."""
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
    """Return the seconds that each machine is paid for."""
    if running is Running.WARM:
        return total
    if running is Running.ALWAYS_ON:
        return total.at_least(DAY_SECONDS / given.runs_a_day)
    if shape is Shape.PER_PAGE_SERIAL:  # one machine after another, each with its minimum
        return total.times(1 / pages).at_least(given.ec2_minimum_seconds).times(pages)
    if shape is Shape.PER_PAGE_AT_ONCE:  # each machine ends with its own page
        page = times.reading(pages, 1).times(1 / pages)
        return (given.boot_seconds + given.load_seconds + page).at_least(given.ec2_minimum_seconds)
    if shape is Shape.LAMBDA_ECS:  # the task ends with its last page
        return total.at_least(given.ec2_minimum_seconds)
    # A real-time endpoint removes its last copy first, and the instance later.
    idle = given.idle_seconds + (given.component_seconds if shape is Shape.SAGEMAKER else 0)
    minimum = given.sagemaker_minimum_seconds if shape in _ENDPOINTS else given.ec2_minimum_seconds
    return (total + Range.exactly(idle)).at_least(minimum)


def _other_usd(way: Way, machines: int, hours: Range, given: Assumptions, book: Book) -> Range:
    """Return the cost of disks, addresses, load balancer and function; SageMaker's price includes its own."""
    shape, running, term = way
    if running is Running.WARM or shape in _ENDPOINTS:
        return _NOTHING
    disk = gp3_usd_per_hour(given.disk_gb, region=given.region, book=book)
    usd = hours.times(_address(given, book))
    # A stopped machine's disk is paid for until the next run; spot and terminated machines have none.
    stops = shape in {Shape.SINGLE, Shape.SEVERAL} and running is Running.AUTO_STOP and term is not Term.SPOT
    usd += Range.exactly(disk * machines * 24 / given.runs_a_day) if stops else hours.times(disk)
    if shape is Shape.ECS:
        usd += Range.exactly(balancer_usd_per_hour(given.region, book, given.alb_lcu) * 24 / given.runs_a_day)
    if shape is Shape.LAMBDA_ECS:
        usd += Range.exactly(function_usd(given.lambda_seconds, given.lambda_gb, given.region, book))
    return usd


def _address(given: Assumptions, book: Book) -> float:
    return book.usd("ipv4", given.region) if given.ipv4 else 0.0
