"""`hearth prices refresh` against a server that answers as AWS does; moto has no GetProducts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs

import pytest

from tasks.costs.price_book import Term
from tests.support.commands import Hearth

# The form is that of AWS's own documents: terms by SKU and offer, dimensions by rate code, an upfront fee as Quantity.
_CODES = {"1yr No Upfront": "4NA7Y494T4", "3yr All Upfront": "NQ3QZPMQV9", "1yr Partial Upfront": "HU7G6KETJZ"}


def _offer(instance_type: str, region: str, on_demand: str) -> str:
    sku = "BD53G6QBBTFEMUR5"

    def term(code: str, attributes: dict[str, str], hourly: str, upfront: str | None) -> dict[str, object]:
        rate = {"unit": "Hrs", "beginRange": "0", "endRange": "Inf", "pricePerUnit": {"USD": hourly}}
        dimensions: dict[str, object] = {f"{sku}.{code}.6YS6EN2CT7": rate}
        if upfront is not None:
            fee = {"unit": "Quantity", "description": "Upfront Fee", "pricePerUnit": {"USD": upfront}}
            dimensions[f"{sku}.{code}.2TG2D8R56U"] = fee
        return {
            "sku": sku,
            "offerTermCode": code,
            "effectiveDate": "2026-11-01T00:00:00Z",
            "termAttributes": attributes,
            "priceDimensions": dimensions,
        }

    def reserved(length: str, option: str, hourly: str, upfront: str | None, offering: str = "standard"):
        code = _CODES[f"{length} {option}"] + ("" if offering == "standard" else "C")
        attributes = {"LeaseContractLength": length, "OfferingClass": offering, "PurchaseOption": option}
        return f"{sku}.{code}", term(code, attributes, hourly, upfront)

    return json.dumps(
        {
            "product": {
                "productFamily": "Compute Instance",
                "attributes": {
                    "instanceType": instance_type,
                    "regionCode": region,
                    "operatingSystem": "Linux",
                    "tenancy": "Shared",
                    "capacitystatus": "Used",
                },
                "sku": sku,
            },
            "serviceCode": "AmazonEC2",
            "terms": {
                "OnDemand": {f"{sku}.JRTCKXETXF": term("JRTCKXETXF", {}, on_demand, None)},
                "Reserved": dict(
                    [
                        reserved("1yr", "No Upfront", "0.3300000000", None),
                        reserved("3yr", "All Upfront", "0.0000000000", "5256"),
                        reserved("1yr", "Partial Upfront", "0.1500000000", "1300"),
                        reserved("1yr", "No Upfront", "0.4000000000", None, "convertible"),
                    ]
                ),
            },
            "version": "20261101000000",
            "publicationDate": "2026-11-01T00:00:00Z",
        }
    )


def _beside(code: str) -> list[str]:
    """The usage types that a service's products have beside the wanted one, and first units that cost nothing."""

    def offer(usage: str, *tiers: str) -> str:
        rates = {str(n): {"beginRange": str(n), "pricePerUnit": {"USD": usd}} for n, usd in enumerate(tiers)}
        terms = {"OnDemand": {"a": {"priceDimensions": rates}}}
        return json.dumps({"product": {"attributes": {"usagetype": usage}}, "terms": terms})

    return {
        "AmazonEC2": [
            *(offer("EU-EBS:VolumeUsage.gp3", "0.088"), offer("EU-EBS:VolumeUsage.gp3.outposts", "9")),
            *(offer("EU-EBS:VolumeP-Throughput.gp3", "45.056"), offer("EU-EBS:VolumeP-IOPS.gp3", "0.0055")),
        ],
        "AWSELB": [offer("EU-TS-LoadBalancerUsage", "0.005"), offer("EU-LoadBalancerUsage", "0.0252")],
        "AmazonECS": [offer("EU-Fargate-ARM-vCPU-Hours:perCPU", "9"), offer("EU-Fargate-vCPU-Hours:perCPU", "0.04048")],
        "AWSLambda": [
            offer("EU-Lambda-GB-Second", "0.0000166667"),
            offer("EU-Lambda-GB-Second-ARM", "0.0000000000", "0.0000133334", "0.0000120001"),
        ],
        "AmazonSageMaker": [offer("EU-Train:ml.g4dn.xlarge", "9"), offer("EU-Host:ml.g4dn.xlarge", "0.8218")],
    }.get(code, [])


class _Aws(BaseHTTPRequestHandler):
    """Two pages of offers, the first empty; two zones of spot prices, a page each."""

    asked: list[dict[str, object]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.headers.get("X-Amz-Target") == "AWSPriceListService.GetProducts":
            self._products(json.loads(body))
        else:
            self._spot({name: values[0] for name, values in parse_qs(body).items()})

    def _products(self, call: dict[str, object]) -> None:
        wanted = {each["Field"]: each["Value"] for each in call["Filters"]}
        if "instanceType" not in wanted:
            self._answer(200, "application/x-amz-json-1.1", json.dumps({"PriceList": _beside(call["ServiceCode"])}))
            return
        self.asked.append(call)
        if wanted["instanceType"] == "forbidden":
            self._answer(400, "application/x-amz-json-1.1", json.dumps({"__type": "AccessDeniedException"}))
            return
        more = {"PriceList": [], "NextToken": "second"}
        offers = [_offer(wanted["instanceType"], wanted["regionCode"], "0.6000000000")]
        answer = {"PriceList": offers} if call.get("NextToken") == "second" else more
        self._answer(200, "application/x-amz-json-1.1", json.dumps({"FormatVersion": "aws_v1", **answer}))

    def _spot(self, call: dict[str, str]) -> None:
        assert call["Action"] == "DescribeSpotPriceHistory"
        second = call.get("NextToken") == "second"
        zone, usd, token = ("b", "0.21", "") if second else ("a", "0.25", "second")
        self._answer(
            200,
            "text/xml",
            '<DescribeSpotPriceHistoryResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><spotPriceHistorySet>'
            f"<item><instanceType>{call['InstanceType.1']}</instanceType><spotPrice>{usd}</spotPrice>"
            f"<productDescription>Linux/UNIX</productDescription><availabilityZone>eu-west-1{zone}</availabilityZone>"
            f"<timestamp>2026-11-24T00:00:00Z</timestamp></item></spotPriceHistorySet><nextToken>{token}</nextToken>"
            "</DescribeSpotPriceHistoryResponse>",
        )

    def _answer(self, status: int, kind: str, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def aws() -> Iterator[dict[str, str]]:
    """The environment that leads to it."""
    _Aws.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), _Aws) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        server.shutdown()


@pytest.mark.long("runs the command with a price list: 5 s")
def test_prices_are_asked_for_page_by_page_kept_and_planned_with(hearth: Hearth, aws: dict[str, str], tmp_path):
    home = {"HEARTH_HOME": str(tmp_path / "prices-home")}
    refresh = ("prices", "refresh", "--region", "eu-west-1", "--type", "g4dn.xlarge")
    done = hearth(*refresh, **aws, **home)
    assert done.code == 0, done.err
    assert "0.5870" in done.out  # was
    assert "0.6000" in done.out  # is
    assert [call.get("NextToken") for call in _Aws.asked] == [None, "second"]

    book = json.loads(hearth("prices", "show", "--json", **home).out)
    of = {p["term"]: p["usd"] for p in book["prices"] if (p["item"], p["region"]) == ("g4dn.xlarge", "eu-west-1")}
    assert of == {
        Term.ON_DEMAND: 0.6,
        Term.SPOT: 0.21,  # the cheaper zone, which is on the second page
        Term.RESERVED_1Y_NO: 0.33,  # the standard one, not the convertible
        Term.RESERVED_3Y_FULL: pytest.approx(5256 / (3 * 8760)),
    }

    beside = {p["item"]: p["usd"] for p in book["prices"] if p["region"] == "eu-west-1"}
    assert {item: beside[item] for item in ("gp3:gb", "gp3:iops", "alb:hour", "fargate:vcpu", "lambda:gb_s")} == {
        **{"gp3:gb": 0.088, "gp3:iops": 0.0055, "alb:hour": 0.0252, "fargate:vcpu": 0.04048},
        "lambda:gb_s": 0.0000133334,
    }
    assert beside["gp3:mb_s"] == pytest.approx(0.044)
    assert beside["ml.g4dn.xlarge"] == 0.8218  # hosting, not training
    missing = "AWS returned no price of: alb:lcu, fargate:gb, ipv4, lambda:request, s3:gb, s3:put."
    assert missing in " ".join(done.out.split())

    plan = json.loads(hearth("plan", "--pages", "50", "--assume", "region=eu-west-1", "--json", **home).out)
    assert {row["term"] for row in plan["rows"]} == set(of)

    again = hearth(*refresh, **aws, **home)
    assert "11 prices read, 0 of them new or changed" in again.out


def test_a_refusal_is_reported_and_the_book_stays(hearth: Hearth, aws: dict[str, str], tmp_path):
    home = tmp_path / "prices-home"
    arguments = ("prices", "refresh", "--region", "eu-west-1", "--type", "forbidden")
    done = hearth(*arguments, **aws, HEARTH_HOME=str(home))
    assert done.code == 1
    assert "AWS" in done.err
    assert not (home / "prices.json").exists()
