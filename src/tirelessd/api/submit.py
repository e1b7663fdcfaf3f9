"""Taking one item: `POST /v1/queues/{queue}/items`."""

from __future__ import annotations

from aiohttp import web

from tirelessd.api.answers import REPLAYED, json_answer
from tirelessd.api.auth import Caller
from tirelessd.api.body import read_body
from tirelessd.api.headers import content_type, forwarded
from tirelessd.api.options import header_options
from tirelessd.api.query import refuse_query
from tirelessd.api.services import TRACE, Services
from tirelessd.api.views import receipt
from tirelessd.engine.intake import Submission
from tirelessd.store.base import Replayed


async def submit_item(services: Services, request: web.Request, caller: Caller) -> web.Response:
    """Store the body as an item's payload; everything is checked before the body is read."""
    queue = request.match_info["queue"]
    caller.check_queue(queue)
    config = services.intake.queue(queue)
    refuse_query(request)
    headers = request.headers
    # What a refusal can be made of is looked at now: nobody uploads a megabyte to learn of a typo.
    options = header_options(headers, services.clock.wall())
    named_type = content_type(headers)
    passed_on = forwarded(headers, config) if config.forward_headers else {}
    payload = await read_body(services, request, services.limits.body_bytes)
    answer = await services.intake.accept(
        queue, Submission(payload, named_type, passed_on, options, request.get(TRACE))
    )
    location = {"Location": f"/v1/items/{answer.id}"}
    if isinstance(answer, Replayed):
        location[REPLAYED] = "true"
    return json_answer(receipt(queue, answer), 202, location)
