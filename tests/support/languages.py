"""Texts in several languages, and pages of them. They are our own, and say the same in each."""

from __future__ import annotations

from pathlib import Path

import pymupdf
import pytest

from tasks.embedded.languages import TrainedData

TEXTS = {
    "eng": (
        "The mill at the river has stood still for years, but every autumn the old miller opens its doors. He shows "
        "the children how the water drives the wheel, how the stones turn and how flour comes from grain. Afterwards "
        "there is bread with butter and honey for everybody, and those who like may stay until the evening. Nobody "
        "has to pay anything; only those who break something bring a sack of corn in the following year."
    ),
    "deu": (
        "Die Mühle am Fluss steht seit Jahren still, doch jeden Herbst öffnet der alte Müller ihre Türen. Er zeigt "
        "den Kindern, wie das Wasser das große Rad antreibt, wie die Steine sich drehen und wie aus Körnern Mehl "
        "entsteht. Danach gibt es für alle Brot mit süßem Honig, und wer möchte, darf bis zum Abend bleiben. Schöne "
        "Grüße schickt er auch denen, die nicht kommen können; bezahlen muss hier niemand etwas."
    ),
    "fra": (
        "Le moulin au bord de la rivière ne tourne plus depuis des années, mais chaque automne le vieux meunier en "
        "ouvre les portes. Il montre aux enfants comment l'eau entraîne la grande roue, comment les pierres tournent "
        "et comment la farine naît du blé. Après cela, il y a du pain et du miel pour tout le monde, et ceux qui le "
        "souhaitent peuvent rester jusqu'à la tombée de la nuit. Personne n'a jamais rien à payer."
    ),
    "spa": (
        "El molino junto al río lleva años parado, pero cada otoño el viejo molinero abre sus puertas. Enseña a los "
        "niños cómo el agua mueve la gran rueda, cómo giran las piedras y cómo del grano sale la harina. Después hay "
        "pan con miel para todos, y quien quiera puede quedarse hasta la noche. Nadie tiene que pagar nada; sólo el "
        "que rompe algo trae al año siguiente un saco de maíz para las gallinas del señor."
    ),
    "ita": (
        "Il mulino vicino al fiume è fermo da anni, ma ogni autunno il vecchio mugnaio ne apre le porte. Mostra ai "
        "bambini come l'acqua muove la grande ruota, come girano le pietre e come dal grano nasce la farina. Dopo "
        "c'è pane con miele per tutti, e chi vuole può restare fino alla sera. Nessuno deve pagare niente; soltanto "
        "chi rompe qualcosa porta l'anno seguente un sacco di granturco per le galline."
    ),
    "pol": (
        "Młyn nad rzeką stoi od lat, ale każdej jesieni stary młynarz otwiera jego drzwi. Pokazuje dzieciom, jak woda "
        "napędza wielkie koło, jak obracają się kamienie i jak z ziarna powstaje mąka. Potem jest chleb z miodem dla "
        "wszystkich, a kto chce, może zostać aż do wieczora. Nikt nie musi za nic płacić; tylko ten, kto coś zepsuje, "
        "przynosi w następnym roku worek kukurydzy. Wszyscy są zawsze bardzo mile widziani."
    ),
    "rus": (
        "Мельница у реки стоит уже много лет, но каждую осень старый мельник открывает её двери. Он показывает детям, "
        "как вода вращает большое колесо, как крутятся камни и как из зерна получается мука. Потом всех угощают "
        "хлебом с мёдом, и кто хочет, может остаться до самого вечера. Никто ничего не платит; только тот, кто что-то "
        "сломает, приносит на следующий год мешок кукурузы."
    ),
    "ell": (
        "Ο μύλος δίπλα στο ποτάμι στέκει ακίνητος εδώ και χρόνια, αλλά κάθε φθινόπωρο ο γέρος μυλωνάς ανοίγει τις "
        "πόρτες του. Δείχνει στα παιδιά πώς το νερό κινεί τον μεγάλο τροχό, πώς γυρίζουν οι πέτρες και πώς από το "
        "σιτάρι γίνεται το αλεύρι. Μετά υπάρχει ψωμί με μέλι για όλους, και όποιος θέλει μπορεί να μείνει μέχρι το "
        "βράδυ. Κανείς δεν χρειάζεται να πληρώσει τίποτα."
    ),
    "chi_sim": (
        "河边的磨坊已经停了很多年，但是每年秋天老磨坊主都会打开它的大门。他让孩子们看水怎样带动大轮子，石头怎样转动，"
        "粮食怎样变成面粉。然后大家都可以吃到面包和蜂蜜，愿意的人可以一直留到晚上。谁也不用付钱，只有弄坏东西的人第二年"
        "要带一袋玉米来。大家都说这里的日子过得很好，明年还要再来。"
    ),
}
"""A paragraph each, by Tesseract's name of the language."""


def page(path: Path, language: str, times: int = 3) -> Path:
    """Write a PDF of one page of a language, its paragraph repeated, and return its path.

    MuPDF brings fonts for all these scripts.
    """
    with pymupdf.open() as pdf:
        paragraphs = f"<p>{TEXTS[language]}</p>" * times
        pdf.new_page().insert_htmlbox((60, 60, 535, 780), paragraphs, css="p {font-size: 12px}")
        pdf.save(path)
    return path


def require_data(*languages: str) -> None:
    """Skip the test if this machine lacks the trained data of a language."""
    for language in languages:
        if TrainedData().find(language) is None:
            pytest.skip(f"no trained data of Tesseract for {language}")
