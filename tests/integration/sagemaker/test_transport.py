"""Ollama's client through SageMaker, SIMULATED over the real container: either kind, and what refusals mean."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.backends.sagemaker.refusals import error_of
from tasks.core.errors import (
    CloudError,
    HearthError,
    MachineLostError,
    ModelError,
    PageError,
)
from tasks.core.interruption import Interruption
from tasks.inference.schema import GenerateRequest
from tasks.ollama.client import OllamaClient
from tests.integration.sagemaker.transports import REQUEST, picture
from tests.support.aws.container import MODEL, Container
from tests.support.aws.faults import denied
from tests.support.aws.front import AwsFront

pytestmark = pytest.mark.long("both transports for each call: 12 s in all; test_read reads through them")


class TestEither:
    async def test_warm_up_and_page_get_the_same_answers_as_from_the_server_itself(
        self, client: Callable[..., OllamaClient], served: Container
    ):
        async with client() as carried, OllamaClient(served.ollama) as direct:
            assert await carried.version() == await direct.version()
            assert await carried.models() == await direct.models()
            assert [each.name for each in await carried.loaded()] == [MODEL]
            assert await carried.details(MODEL) == await direct.details(MODEL)
            await carried.load(REQUEST)
            answer = await carried.generate(REQUEST, "read", (picture(),))
            assert answer.response == (await direct.generate(REQUEST, "read", (picture(),))).response
            assert answer.timing.total > 0

    async def test_errors_of_ollama_have_the_same_meaning_as_without_sagemaker(
        self, client: Callable[..., OllamaClient]
    ):
        async with client() as carried:
            with pytest.raises(ModelError, match="not found"):
                await carried.generate(GenerateRequest("no-such-model", 8192, 99, 600), "read", (picture(),))
            with pytest.raises(PageError):
                await carried.generate(REQUEST, "read", (b"no picture",))

    async def test_models_are_not_pulled_through_an_endpoint(self, client: Callable[..., OllamaClient]):
        async with client() as carried:
            with pytest.raises(ModelError, match="it serves tesseract:eng"):
                async for _ in carried.pull("another"):
                    pass

    async def test_a_deleted_endpoint_is_a_lost_machine(
        self, client: Callable[..., OllamaClient], aws: AwsFront, interruption: Interruption
    ):
        async with client() as carried:
            aws.sagemaker.endpoints.clear()
            with pytest.raises(MachineLostError, match="endpoint was deleted"):
                await carried.version()
        assert interruption.gone

    async def test_a_missing_permission_is_reported(self, client: Callable[..., OllamaClient], aws: AwsFront):
        aws.inject(denied(), "InvokeEndpoint*", times=None)
        async with client() as carried:
            with pytest.raises(CloudError, match="AWS does not permit InvokeEndpoint"):
                await carried.version()


WORDS = st.sampled_from(["", "ValidationError", "X not found.", "a#Throttling:b", "no capacity", "\u00e9", "0"])


@given(
    status=st.integers(400, 599),
    body=st.one_of(
        st.binary(max_size=50),
        st.fixed_dictionaries(
            {},
            optional={
                "Message": st.one_of(WORDS, st.integers()),
                "OriginalStatusCode": st.one_of(st.integers(), WORDS, st.none()),
                "OriginalMessage": st.one_of(WORDS, st.just('{"error": "x"}'), st.none()),
                "__type": WORDS,
            },
        ).map(lambda told: httpx.Response(400, json=told).content),
    ),
)
def test_every_response_of_sagemaker_is_an_answer_or_an_error_of_hearth(status: int, body: bytes):
    try:
        answer = error_of(httpx.Response(status, content=body), Interruption())
    except HearthError:
        return
    assert answer.is_error
    assert "error" in answer.json()
