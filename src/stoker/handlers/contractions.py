"""Maps English contractions to their long forms. Users import it from `ts.torch_handler.contractions`."""

from __future__ import annotations

from itertools import product

_NOT = {
    **{f"{verb}n't": f"{verb} not" for verb in ("are", "could", "did", "does", "do", "had", "has", "have", "is")},
    **{f"{verb}n't": f"{verb} not" for verb in ("might", "must", "need", "ought", "should", "was", "were", "would")},
    "ain't": "is not",
    "can't": "cannot",
    "mayn't": "may not",
    "sha'n't": "shall not",
    "shan't": "shall not",
    "won't": "will not",
}
_NOT_HAVE = {f"{short}'ve": f"{long} have" for short, long in _NOT.items() if short not in {"ain't", "sha'n't"}}
_MODAL_HAVE = {f"{verb}'ve": f"{verb} have" for verb in ("could", "might", "must", "should", "will", "would", "to")}
_ENDINGS = {
    "'d": "would",
    "'d've": "would have",
    "'ll": "will",
    "'ll've": "will have",
}
_SUBJECTS = ("he", "I", "i", "it", "she", "that", "there", "they", "we", "you", "who")
_SUBJECT_FORMS = {
    f"{subject}{ending}": f"{subject} {words}" for subject, (ending, words) in product(_SUBJECTS, _ENDINGS.items())
}
_IS = {
    f"{subject}'s": f"{subject} is"
    for subject in ("he", "here", "how", "it", "she", "so", "that", "there", "what", "when", "where", "who", "why")
}
_BE_AND_HAVE = {
    **{f"{subject}'re": f"{subject} are" for subject in ("they", "we", "what", "who", "you")},
    **{
        f"{subject}'ve": f"{subject} have"
        for subject in ("I", "i", "they", "we", "what", "when", "where", "who", "you")
    },
    "I'm": "I am",
    "i'm": "i am",
}
_OTHERS = {
    "'cause": "because",
    "how'd": "how did",
    "how'd'y": "how do you",
    "how'll": "how will",
    "let's": "let us",
    "ma'am": "madam",
    "o'clock": "of the clock",
    "so've": "so have",
    "what'll": "what will",
    "what'll've": "what will have",
    "where'd": "where did",
    "why've": "why have",
    "y'all": "you all",
    "y'all'd": "you all would",
    "y'all'd've": "you all would have",
    "y'all're": "you all are",
    "y'all've": "you all have",
}

CONTRACTION_MAP: dict[str, str] = {
    **_NOT,
    **_NOT_HAVE,
    **_MODAL_HAVE,
    **_SUBJECT_FORMS,
    **_IS,
    **_BE_AND_HAVE,
    **_OTHERS,
}
