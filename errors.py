"""The root of the program's exceptions, and its two kinds.

Every exception class of the program derives from one of the two, and also from a built-in one if code catches that:

    IwmError
    ├── OurError            this side is wrong: its settings, its files, or the command it was given
    │   ├── ConfigError         config              the settings cannot be used
    │   ├── Damage              record/reader       a record cannot be trusted
    │   ├── Taken               record/disk         another process has locked a file
    │   ├── LeaseHeld           record/lease        another copy uses the folder
    │   ├── Misplaced (OSError) record/lease        something else stands where a file of ours belongs
    │   ├── BookError           book/store          the book cannot be used
    │   │   └── BookDamaged         book/store          the book cannot be read, and never will be
    │   ├── BadAddress          delivery/apprise_library    an address cannot be used
    │   ├── Withheld            delivery/attempt    an attempt is not sent after all
    │   ├── Difference          review/verify       a decision cannot be derived again
    │   ├── BadFile             review/bars         a file cannot be read as bars
    │   ├── BadRow              review/bars         a row is no bar
    │   ├── NoRecord            review/watch/source the session has no record yet
    │   ├── Replaced            review/watch/follow the record that was followed is another one now
    │   ├── Unusable            review/places       what was asked for cannot be done
    │   │   └── BadArgument         review/places       a word of the command line cannot be used
    │   ├── NoSession           review/places       the exchange was closed on that day
    │   ├── BadSpan             research/history/fetch      there is no session between two dates
    │   ├── HistoryError        research/history/store      a past session cannot be used
    │   ├── LedgerError         research/ledger     the ledger of trials cannot be used
    │   ├── EnvFileError        checks/env_file     a file of settings cannot be read or written
    │   └── GivenUp             checks/init         the keys were not typed, or were refused
    └── TheirError          the other side is wrong, or did not answer: the vendor, the push service
        ├── NoAnswer            feeds/vendor        a question got no usable answer
        │   └── RestError           feeds/massive/errors
        ├── Lost                feeds/vendor        a connection is over, or could not be opened
        ├── VendorRefused       feeds/vendor        the key is not let in
        ├── Refused             research/history/requests   the vendor refuses every question about the past
        ├── NotInPlan           research/history/requests   the plan does not include what was asked for
        ├── Unanswered          research/history/requests   a question was repeated, and got no answer
        ├── BadValue            feeds/massive/bad_input     an event or a row is bad
        ├── Unbalanced          feeds/massive/pieces        a page cannot be split into its rows
        ├── Failed              delivery/exchange   an exchange with a push service gave no answer
        └── NotDrawn            pictures/process    there is no picture

What to do follows from the kind. Ours: end, or say what the owner must mend. Theirs: wait, ask again, and say that the
market or the phone cannot be reached. `entry.Unwritable` stands outside, because `entry` may import nothing but the
standard library.
"""

from __future__ import annotations


class IwmError(Exception):
    """A failure that the program expects and handles."""


class OurError(IwmError):
    """This side is wrong: its settings, its files, or the command it was given."""


class TheirError(IwmError):
    """The other side, the vendor or the push service, is wrong or did not answer."""
