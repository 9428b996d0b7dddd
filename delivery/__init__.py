"""How an alert reaches a phone.

`sender` accepts alerts. `lane` picks the next one, `attempt` makes one attempt to send it over the `channel` (`pushover`),
`follow_up` carries out what `outbox` makes of the answer, and `settling` ends it. `beside` posts to the side channels
(`second_channel`, and `apprise_channel` with `apprise_library`). `pictures` sends pictures while nothing else is to be
sent. `questions` makes the other requests: `account` and `standing` track whether the service accepts pushes,
`acknowledgements` and `receipts` who has acknowledged. `holds` tracks what holds entries.

These are pure, without input or output: `answers`, `obstacles`, `outbox`, `receipts`, `standing`.
"""
