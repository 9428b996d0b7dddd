"""How an alert reaches a phone.

`sender` takes alerts over. `lane` picks the next one, `attempt` makes one attempt for it over the `channel` (`pushover`),
`follow_up` carries out what `outbox` says of the answer, and `settling` ends it. `beside` tells the side channels
(`second_channel`). `questions` asks what is due besides: `account` and `standing` know whether pushes are taken,
`acknowledgements` and `receipts` who has acknowledged, `holds` what holds entries.

Pure, with no input or output: `answers`, `obstacles`, `outbox`, `receipts`, `standing`.
"""
