"""Is the simulated vendor as nasty as the real one? Each behaviour that is known of it, and the test that shows the simulated one do so.

What nothing here does has its reason instead. A behaviour without either does not exist: add the row first.
"""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path

import pytest

from events import SECOND
from sim.server import LoopbackMarket
from tests.sim.clients import KEY, Raw
from tests.sim.days import OPEN, day
from tests.virtual_loop import LoopClock

HERE = Path(__file__).parent

DONE: dict[str, str] = {
    # Statuses
    "`connected` on open, before anything from the client": "test_sockets.py::test_bars_come_as_the_day_has_them_until_they_are_unsubscribed",
    "`auth_success`; subscriptions only after it": "test_sockets.py::test_a_client_that_does_not_authenticate_is_dropped_and_gets_no_data",
    "`auth_failed` with either of two texts, then no close frame": "test_sockets.py::test_refused_keys_are_dropped_without_a_close_frame",
    "`auth_timeout`": "test_sockets.py::test_a_client_that_does_not_authenticate_is_dropped_and_gets_no_data",
    "one `success` for each pair, in one frame or in many": "test_sockets.py::test_acknowledgements_come_in_one_frame_or_in_many",
    "`error: not authorized` names no pair, and the others are served": "test_sockets.py::test_a_channel_outside_the_plan_is_refused_and_the_others_are_served",
    "`max_connections`, then close 1008 with an empty reason": "test_socket_faults.py::test_evict_closes_as_if_a_second_copy_connected",
    "`max_connections` instead of the answer to auth": "test_socket_faults.py::test_a_handshake_or_auth_is_refused_as_the_fault_says",
    "a status that nobody has documented": "test_stream_faults.py::test_every_kind_of_garbage_leaves_its_neighbours",
    "an unknown channel, or a pair already held, is not answered": "test_sockets.py::test_only_a_new_pair_of_a_known_channel_is_acknowledged",
    "a pair that is never acknowledged": "test_socket_faults.py::test_a_pair_without_an_acknowledgement_is_not_served",
    "what is no action is ignored, `ping` too": "test_sockets.py::test_nonsense_from_the_client_is_ignored",
    # Bars
    "every frame is an array of several events of several symbols": "test_streams.py::test_frames_mix_symbols_and_every_bar_of_the_stretch_comes",
    "`v` and `av` truncated, `dv` and `dav` texts; no `op` before the open": "test_market.py::test_bars_before_the_open_have_no_official_open",
    "no trade, no bar: a fifth or more of the fund's seconds": "test_market.py::test_a_fifth_or_more_of_the_funds_seconds_and_few_of_the_benchmarks_have_no_bar",
    "a bar comes about 2 s after its end, never before": "test_market.py::test_a_bar_is_not_known_before_its_end",
    "a late trade sends a second again, corrected": "test_streams.py::test_corrections_are_sent_again_to_those_who_asked",
    "`vw` outside low and high": "test_market.py::test_bars_are_consistent_and_their_vwap_is_sometimes_outside",
    "bars 15 minutes late (a delayed plan)": "test_stream_faults.py::test_late_bars_come_that_much_later",
    "nanoseconds for milliseconds, numbers as texts, absent fields, NaN": "test_stream_faults.py::test_every_kind_of_garbage_leaves_its_neighbours",
    "the source itself lies: a price that cannot be": "test_stream_faults.py::test_prints_and_streamed_quotes_are_well_formed_and_untrue",
    # Connections
    "one connection for each cluster: a newcomer ends the oldest": "test_sockets.py::test_a_newcomer_evicts_the_older_connection_of_its_cluster_only",
    "an eviction after minutes of data, and again and again": "test_socket_faults.py::test_evict_comes_again_while_it_lasts",
    "a drop without a close frame, at any stage": "test_socket_faults.py::test_a_drop_ends_the_connection_at_its_stage",
    "an open socket goes quiet, with or without pongs": "test_socket_faults.py::test_silence_keeps_the_socket_open",
    "one symbol goes quiet": "test_stream_faults.py::test_a_silent_symbol_is_not_sent_and_rest_knows_it_only_if_asked_to",
    "pings are not answered while data flows": "test_stream_faults.py::test_repeat_flood_and_no_pong_happen_as_named",
    "a slow consumer's buffer fills, and its connection is ended": "test_conformance.py::test_a_client_that_does_not_read_loses_its_connection",
    "nothing is sent again after a reconnect": "test_conformance.py::test_nothing_is_sent_again_after_a_reconnect",
    "handshake answered with a status, accepted and closed, mute": "test_socket_faults.py::test_a_handshake_or_auth_is_refused_as_the_fault_says",
    # REST
    "rows with `{}` for day, trade and greeks, and zero bids": "test_options.py::test_far_rows_lack_what_the_vendor_leaves_out",
    "pages of 250 with `next_url`, without the key": "test_rest_chain.py::test_the_pages_of_the_chain_hold_every_call_once_and_never_the_key",
    "429, 500, HTML, broken JSON, empty results": "test_rest_faults.py::test_rest_faults_happen_once_and_pass",
    "reset and hang": "test_rest_faults.py::test_rest_reset_and_rest_hang_end_the_connection_once",
    "a body that drips": "test_rest_faults.py::test_a_slow_drip_never_pauses_long_enough_for_an_inactivity_timeout",
    "`next_url` to another host, or to itself": "test_rest_faults.py::test_next_url_names_another_host_or_its_own_page",
    "quotes that are frozen, delayed or absent": "test_rest_faults.py::test_rows_lack_quotes_or_say_delayed_while_the_fault_lasts",
    "an unscheduled closing": "test_rest_faults.py::test_the_status_closes_the_date_is_skewed_and_aggregates_lag",
    # Pushover
    "limits of every field": "test_push_rules.py::test_each_bad_field_is_named_with_the_vendors_reason",
    "an emergency push has a receipt": "test_push_account.py::test_an_emergency_message_has_a_receipt_that_can_be_acknowledged",
    "the quota runs out, and is full again at its reset": "test_push_account.py::test_the_quota_is_full_again_at_its_reset_and_not_before",
}

NOT_DONE: dict[str, str] = {
    "the words of `slow_consumer` and `force_disconnect`": "nobody has published them; an unknown status and a drop stand for both",
    "which of two connections dies is not certain": "always the oldest here: a test would have no expectation",
    "an abandoned socket holds its slot for 10 to 30 s": "the loopback sees the end of a connection at once; the pace of reconnecting is tested",
    "sequence numbers repeat and go backward": "nothing here reads them",
    "LULD and trades channels": "the program subscribes to neither",
    "permessage-deflate": "not known to be accepted; frames beyond every bound are tested with the decoder",
}


def test_every_behaviour_names_a_test_that_there_is() -> None:
    for behaviour, name in DONE.items():
        file, _, test = name.partition("::")
        tree = ast.parse((HERE / file).read_text(encoding="utf-8"))
        found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert test in found, f"{behaviour}: {name}"
    assert all(len(reason) > 20 for reason in NOT_DONE.values())


@pytest.mark.virtual_time
async def test_a_client_that_does_not_read_loses_its_connection() -> None:
    clock = LoopClock(OPEN + 3600 * SECOND)
    async with LoopbackMarket(day(), clock, KEY) as server, Raw(server) as client:
        await client.subscribed("A.SPY", "A.IWM")
        server.faults.add("flood", feed="stocks", size=900_000, times=200)
        for _ in range(240):
            await asyncio.sleep(1)
            if not server.open_connections("stocks"):
                break
        assert server.open_connections("stocks") == 0
        assert server.faults.fired["flood"] > 10


@pytest.mark.virtual_time
async def test_nothing_is_sent_again_after_a_reconnect() -> None:
    clock = LoopClock(OPEN + 3600 * SECOND)
    async with LoopbackMarket(day(), clock, KEY) as server:
        async with Raw(server) as client:
            await client.subscribed("A.SPY")
            await client.data(3)
        await asyncio.sleep(60)
        async with Raw(server) as client:
            await client.subscribed("A.SPY")
            first = (await client.data(1))[0]
    held_s = 5
    assert first["e"] * 1000 >= clock.now() - held_s * SECOND
