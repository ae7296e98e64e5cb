# SPDX-License-Identifier: Apache-2.0
"""Phrases that make a sentence hard to read, and what to write instead.

tidy.py searches comments, documents, manual pages, help texts and messages for them. A space in a
pattern stands for any white space, comment marker or string quote, so that a phrase is also found
where a line ends inside it. docs/glossary.md lists the terms to use.
"""

import re

_ACTOR = "name the actor: the caller, the writer, the request"
_POSITION = "after, following, consecutive, starting at"
_TERM = "use the term of docs/glossary.md"

# (pattern, what to write instead). In this file none matches itself: a letter precedes each word.
PHRASES = [
    # The actor
    (r"\bwhoever\b", _ACTOR),
    (r"\b(?:some|any|every)(?:body|one)\b", _ACTOR),
    (r"\bnobody\b|\bno one\b", _ACTOR),
    (r"\b(?:by|for|resumes|tells|to|wakes?|with) who\b", _ACTOR),
    (r"(?:^|[.;:(])\s*who (?:asks|comes|has|holds|is|misses|needs|reads|uses|waits|wants|writes)\b",
     _ACTOR),
    (r"\bthe ones? who\b", _ACTOR),
    # Position and order
    (r"\bone (?:behind) the other\b", "consecutive"),
    (r"(?<=[\w.,;:)`])(?<!left)(?<!leave)(?<!leaves)(?<!leaving) behind"
     r" (?:a|an|each|every|it|its|one|that|the|their|them|this|which)\b(?! scenes)", _POSITION),
    (r"\b(?:lies?|is|are|comes?|stands?) behind(?=[,.;:)])", _POSITION),
    (r"\bfrom (?:there|here|`[^`\n]+`|(?:the|its|that|an?) (?:\w+ ){1,3}?)\s*on(?=[,.;:)]| to\b)",
     "starting at; from now on"),
    (r"\bgo(?:es)? on (?:behind|over|where)\b", "continue at"),
    (r"\bgets? ahead of\b", "run ahead of"),
    (r"\bcut(?:s|ting)? (?:the|its) (?:free )?(?:end|tail) off\b", "truncate"),
    # Modules and goals
    (r"\b(?:the|a|each|every|one|which) rooms?(?=[,.;:)]| (?:of the|is|are|may|knows?|sees?)\b)"
     r"|\brooms (?:of|and|above|below|know)\b", "module, folder"),
    (r"\bhouse rules?\b|\bthe house\b", "project rules"),
    (r"\bwanted and reached\b", "goals and results"),
    # The field's terms
    (r"\blet(?:s|ting)? (?:\w+ )?go\b(?! to\b)", "unpin, release"),
    (r"\banew\b", "recreated, again"),
    (r"\b(?:images?|disks?|servers?|plugins?|it) (?:is |are |was |be |has )?settle[sd]?\b"
     r"|\bflush(?:es|ed), settle[sd]?\b|\bsettles? (?:an|the) (?:image|disk)\b",
     "quiesce, become idle and clean"),
    (r"\bturns? of (?:the|a) cluster\b|\bcluster turns?\b", "range lock"),
    (r"\bin doubt\b", "unknown"),
    (r"\b(?:was|were|is|are) made up\b", "forged"),
    (r"\b(?:Request(?=Gate)Gate|Cluster(?=Turns)Turns|(?:Entry|File)Judge|Header(?=Keeper)Keeper"
     r"|Image(?:Identity|Core)|Chain(?=Skips)Skips|File(?=Growth)Growth|Piece(?=Ring)Ring"
     r"|Space(?=Ahead)Ahead|New(?=Image)ImageWriter)\b", "the type was renamed"),
    # Things said in a roundabout way
    (r"\bfor truth\b", "correctness"),
    (r"\bmanieth\b", "N-th"),
    (r"\bis met (?:again )?by\b", "report: the next call reports the error"),
    (r"\bwhat is likely\b", "the fast path"),
    (r"\b(?:says|tells|say|tell) (?:it )?all(?=[.,;:)]| (?:of|about)\b)", "describes, documents"),
    (r"\bcame too late\b", "arrived after"),
    (r"\bto the likes\b|\bas (?:it|they) likes?\b", "as needed"),
    (r"\b(?:is|are|was|were|be) in the way\b(?! of (?:all|most))", "conflict with"),
    (r"\bas it stands\b|\bstands? on the command line\b", "unchanged; is given"),
    (r"\bthere is nothing behind (?:it|them)\b", "not implemented"),
    (r"\bh(?:eld|olds?) (?:\w+ ){0,3}against\b", "compare with"),
    (r"\bby chance\b|\bto chance\b", "at random"),
    (r"\bwants? (?:\w+ing\b(?<!nothing)(?<!anything)|to be \w+ed\b)", "needs"),
    (r"\ball over the file\b|\ball over a file\b", "spread over"),
    (r"\bat first and at last\b", "first and last"),
    (r"\bso (?:far|long) as (?:it|they) (?:goes|go)\b", "state the limit"),
    (r"\bbeside\b", "next to, while, compared with, besides"),
    (r"\bdo for (?:a|an|the|every|all)\b", "suffice"),
    (r"\bthe (?:whole|long) story\b", "details"),
    (r"\bhas the (?:last )?word\b", "decides"),
    (r"\bin our own words\b", "as our message"),
]

_GAP = r'[\s/#*<"]+'
_COMPILED = [(re.compile(pattern.replace(" ", _GAP), re.IGNORECASE | re.MULTILINE), advice)
             for pattern, advice in PHRASES]


def find(text):
    """(line, phrase, advice) for each phrase in `text`, in the order of the list."""
    for pattern, advice in _COMPILED:
        for match in pattern.finditer(text):
            start = match.start() + len(match.group(0)) - len(match.group(0).lstrip())
            phrase = " ".join(re.split(_GAP, match.group(0).strip()))
            yield text.count("\n", 0, start) + 1, phrase, advice
