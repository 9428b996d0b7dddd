# What is done here every day. `just` lists it. Each line works by hand, too (CONTRIBUTING.md).
python := ".venv/bin/python"

[private]
default:
    @just --list

# Plays a simulated session, without keys.
demo:
    {{python}} main.py --demo

# Every test.
test *arguments:
    {{python}} -m pytest {{arguments}}

# The tests that need no socket and no process.
fast *arguments:
    {{python}} -m pytest -m fast {{arguments}}

# Style and spelling.
lint:
    .venv/bin/ruff format --check .
    .venv/bin/ruff check .
    .venv/bin/codespell

# Types.
types:
    .venv/bin/mypy .

# Coverage with branches.
cover *arguments:
    {{python}} -m tests.cover {{arguments}}

# Deliberate faults in the worker, each of which a test must notice.
mutants *arguments:
    {{python}} -m tests.mutants {{arguments}}

# Writes what is generated: the table of settings, .env.example, the state diagrams.
docs:
    {{python}} -m tests.documents --write
    {{python}} -m tests.diagrams

# Makes the pictures of the docs.
pictures:
    {{python}} -m tests.images_of_docs

# How fast it is.
bench:
    {{python}} -m benchmarks --quick

# Formats, and mends what can be mended.
fix:
    .venv/bin/ruff check --fix .
    .venv/bin/ruff format .
