"""Words to sing, written for this project. Lines need not make sense; they need to be sayable.

Each language has beginnings and things to end a line with, and a pool of loose words; where letters
spell sounds plainly, syllables that mean nothing fill up what the words leave rare.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Rng = np.random.Generator

VOCALISE = ("la", "na", "oh", "ah", "da", "hey", "ooh", "yeah", "doo", "lo", "ma")


@dataclass(frozen=True, slots=True)
class Language:
    """starts, ends: halves of a line; words: loose ones; syllables: nonsense."""

    starts: tuple[str, ...]
    ends: tuple[str, ...]
    words: tuple[str, ...]
    syllables: tuple[str, ...] = ()


def _lines(text: str) -> tuple[str, ...]:
    """Lines between slashes, whatever the white space."""
    return tuple(" ".join(part.split()) for part in text.split("/"))


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _open_syllables(consonants: str, vowels: str) -> tuple[str, ...]:
    return tuple(c + v for c in consonants.split() for v in vowels.split())


LANGUAGES = {
    "en-us": Language(
        starts=_lines(
            """
            i followed the river / you carry the morning / we gather the shadows / hold on to the
            summer / never forget the feeling / every window is shining / there is a fire burning /
            tell me your secret / somewhere the thunder / i was a stranger / you were the ocean /
            give me a reason / walking the highway / under the bridges / nobody answers / open the
            curtain / the moon is a lantern / the city keeps talking / i keep your letter / we
            could be leaving / breathe in the silence / show me the mountain / dancing with
            strangers / i hear the engines / all of the colours / she said to me softly / he waits
            at the station / when you were younger
            """
        ),
        ends=_lines(
            """
            over and over / into the light / out of my hands / the whole night through / as we go
            home / before the rain / while the stars fall / in my old coat / like a slow train /
            far from the shore / until it breaks / with you beside me / again and again / where the
            road ends / just for a while / beyond the valley / and we were young / so turn the page
            / you know it is true / take it or leave it
            """
        ),
        words=_words(
            """
            silver golden broken quiet burning lonely gentle frozen hollow crimson feather candle
            garden window shadow ocean highway river whisper borrow promise answer wander measure
            treasure thousand question jump judge chase church shoe fish vision pleasure thing
            thought breathe father another bath power choice voice joy boy crowd loud shout bright
            knife five paper table zoo zero wish push cook look yellow young use few music kingdom
            quick quiet squeeze stretch spring street splash twelve world girl bird heart dark car
            door floor near fear chair care love one two three four never ever maybe tomorrow
            yesterday tonight beautiful wonderful remember together forever yes no why go slow cold
            """
        ),
    ),
    "es": Language(
        starts=_lines(
            """
            la noche camina / tu nombre se queda / yo busco la calle / no digas mentiras / el
            viento me llama / mañana volvemos / la lluvia despierta / mi pecho te guarda / quiero
            una ventana / bailamos descalzos / dame la mano / siempre te espero / el tren ya se
            marcha / nunca supe decirte
            """
        ),
        ends=_lines(
            """
            sobre la arena / hasta la orilla / junto al camino / con tanta prisa / bajo la luna /
            sin hacer ruido / otra vez más / como un niño / hacia el silencio / y nada más / en mi
            cocina / por la montaña
            """
        ),
        words=_words(
            """
            corazón fuego jardín guitarra llave zapato cielo ciudad hoja queso perro lluvia agua
            huella pueblo verde azul rojo blanco dulce lento feliz jugo gente chico noche leche año
            sueño niño rey ley hoy voy cantar vivir soñar volver pedir reír salir querer decir
            tiempo viento puente fuente
            """
        ),
        syllables=_open_syllables("p t k b d g f s ch m n l r y ll ñ j", "a e i o u"),
    ),
    "it": Language(
        starts=_lines(
            """
            la notte cammina / il mare mi parla / ti cerco per strada / non dirmi domani / la luna
            si spegne / cantiamo per niente / io resto qui sola / le foglie cadranno / portami
            lontano / era una sera / dimmi chi sei / il treno non parte
            """
        ),
        ends=_lines(
            """
            sopra la collina / senza fare rumore / fino alla riva / come un bambino / dentro il
            silenzio / ancora una volta / e poi più niente / lungo il fiume / sotto le stelle / con
            gli occhi chiusi
            """
        ),
        words=_words(
            """
            cielo ghiaccio chiave gente giorno giallo scena pesce bagno sogno figlio foglia acqua
            quando uomo uovo cuore fuoco piove neve sole vento zucchero mezzo pazzo ragazza bella
            donna mamma sasso gatto notte azzurro rosso verde dolce amaro lento forte voce pace
            luce felice aiuto chitarra
            """
        ),
        syllables=_open_syllables("p t c b d g f s m n l r v z", "a e i o u"),
    ),
    "de": Language(
        starts=_lines(
            """
            die Nacht geht nach Hause / ich suche die Straße / du trägst meinen Namen / der Wind
            will erzählen / wir tanzen im Regen / das Licht wird uns finden / kein Mensch hat
            gesprochen / die Züge sind müde / komm mit über Felder / ich höre die Brücken / vergiss
            nicht den Sommer / am Fenster sitzt einer
            """
        ),
        ends=_lines(
            """
            unter dem Himmel / bis in den Morgen / ohne ein Wort / so wie ein Kind / über die Berge
            / und dann zurück / noch einmal mehr / hinter den Gärten / weit bis zum Meer / mit
            leisen Schritten
            """
        ),
        words=_words(
            """
            Feuer Freude Heimat Bäume träumen schön hören über Glück Stück spüren Küche Kirche ich
            mich dich Buch Bach doch Nacht leuchten zwischen zwölf Pferd Apfel Zeit Herz Katze jung
            ja singen lang Garten blau grün rot weiß leise laut Stimme Stein Sprache Schnee schnell
            Wolke Vogel Wasser See Jahr
            """
        ),
        syllables=_open_syllables("p t k b d g f s sch m n l r w z h j", "a e i o u ä ö ü ei au"),
    ),
    "fr": Language(
        starts=_lines(
            """
            la nuit se promène / je cherche ta rue / le vent nous appelle / tu gardes mon nom / la
            pluie recommence / demain nous partons / personne ne chante / ouvre la fenêtre / le
            train nous oublie / donne-moi la main / il était un jour / les feuilles s'en vont
            """
        ),
        ends=_lines(
            """
            dessous la lune / sans faire de bruit / jusqu'au rivage / comme un enfant / dans le
            silence / encore une fois / et puis plus rien / sur la colline / au bord du monde / les
            yeux fermés
            """
        ),
        words=_words(
            """
            cœur fleur jardin matin lumière rivière musique bonjour toujours amour rouge neige
            visage orage chanson maison garçon soleil feuille fille oiseau bateau chapeau nuit
            pluie huit un brun vin pain bon vent peur sœur bleu feu deux peu tu rue lune agneau
            montagne voix roi loin besoin yeux
            """
        ),
        syllables=_open_syllables("p t k b d f s ch m n l r v z j", "a é i o u ou an on in eu"),
    ),
    "ja": Language(
        starts=_lines(
            """
            よるのそら / きみのこえ / あめがふる / かぜのうた / とおいまち /
            ゆめをみて / ひとりきり / まどをあけて / ほしがおちる / わすれないで /
            なつのうみ / てをつないで / みちのうえ / あさがくる
            """
        ),
        ends=_lines(
            """
            どこまでも / もういちど / しずかに / えがおで / むねのなか /
            ゆきのように / かえろう / ふたりで / いつまでも / そっと / ひかりへ
            / さよなら
            """
        ),
        words=_words(
            """
            こころ さくら はな ひかり かげ つき ほし うみ やま かわ みず ひ ゆび め
            みみ うた おと きゃく しゅう ちょうちょ りょこう びょうき がっこう きって
            ざっし にんぎょう でんわ じかん ぜんぶ ぼく わたし あなた まち みち ふね
            とり さかな しろ くろ あか あお
            """
        ),
        syllables=_words(
            """
            か き く け こ さ し す せ そ た ち つ て と な に ぬ ね の は
            ひ ふ へ ほ ま み む め も や ゆ よ ら り る れ ろ わ が ぎ ぐ
            げ ご ざ じ ず ぜ ぞ だ で ど ば び ぶ べ ぼ ぱ ぴ ぷ ぺ ぽ
            """
        ),
    ),
    "cmn-latn-pinyin": Language(
        starts=_lines(
            """
            wo3 zai4 deng3 ni3 / ye4 li3 you3 feng1 / yue4 liang4 shuo1 hua4 / ni3 de5 sheng1 yin1
            / zou3 guo4 da4 jie1 / xia4 yu3 le5 ma5 / shan1 hen3 gao1 / hai3 hen3 yuan3 / ta1 mei2
            you3 lai2 / qing3 bie2 wang4 ji4
            """
        ),
        ends=_lines(
            """
            hui2 jia1 qu4 / man4 man4 zou3 / zai4 yi1 ci4 / zhe4 yi2 ye4 / he2 ni3 yi4 qi3 / dao4
            tian1 liang4 / mei2 you3 ren2 / wo3 de5 xin1
            """
        ),
        words=_words(
            """
            xin1 ai4 ge1 chang4 meng4 guang1 hai3 tian1 xing1 qing2 lu4 hua1 yu3 xue3 xiang3 ting1
            kan4 jian4 wei4 shen2 yong3 yuan3 zhong1 guo2 cheng2 shi4 ri4 re4 zi4 ci2 si1 jiu3
            qian1 xiao3 bao3 peng2 tou2 dui4 nü3 lü4 yun2 jue2 huang2 wo3 ni3 ta1 er2 ban4 fei1 ku1
            kou3
            """
        ),
    ),
    "pt-br": Language(
        starts=_lines(
            """
            a noite caminha / teu nome ficou / eu busco a estrada / não diga mentiras / o vento me
            chama / amanhã voltamos / a chuva desperta / me dê sua mão / o trem foi embora / quero
            uma janela / dançamos na praia / ninguém responde
            """
        ),
        ends=_lines(
            """
            sobre a areia / até de manhã / sem fazer barulho / como criança / dentro do silêncio /
            outra vez / e nada mais / perto do rio / debaixo da lua / de olhos fechados
            """
        ),
        words=_words(
            """
            coração saudade céu mar chuva folha filho sonho manhã pão mãe irmão lua rua gente jeito
            chão rosto verde azul branco doce tempo ponte fonte cantar viver sorrir trabalho velho
            nunca sempre
            """
        ),
        syllables=_open_syllables("p t c b d g f s ch m n l r v z j nh lh", "a e i o u ão"),
    ),
    "ko": Language(
        starts=_lines(
            """
            밤이 깊어가요 / 너를 기다려 / 바람이 불어와 / 비가 내리네 / 멀리
            떠나요 / 창문을 열고 / 별이 지는 밤 / 나는 노래해 / 길을 걷다가 /
            손을 잡아줘
            """
        ),
        ends=_lines(
            """
            다시 한번 / 조용히 / 바다로 가자 / 너와 함께 / 집으로 돌아와 /
            아침까지 / 꿈처럼 / 언제나
            """
        ),
        words=_words(
            """
            사랑 마음 하늘 바다 구름 나무 꽃 달빛 햇살 여름 겨울 노을 친구 기억
            시간 거리 눈물 웃음 약속 편지 빨간 파란 하얀 작은 큰 오늘 내일 어제
            우리 그대
            """
        ),
        syllables=_words(
            """
            가 나 다 라 마 바 사 아 자 차 카 타 파 하 고 노 도 로 모 보 소
            오 조 구 누 두 루 무 부 수 우
            """
        ),
    ),
}

SYLLABLES_PER_WORD = 1.7


def write_line(rng: Rng, language: str, syllables: int, vocalise: bool = False) -> str:
    """A line of about `syllables` syllables; a vocalise sings one of la, na, oh, … throughout."""
    if vocalise:
        return " ".join([str(rng.choice(VOCALISE))] * syllables)
    pool = LANGUAGES[language]
    kind = rng.random()
    if kind < 0.55:
        line = str(rng.choice(pool.starts))
        if syllables > 7:
            line += " " + str(rng.choice(pool.ends))
        return line
    if kind < 0.85 or not pool.syllables:
        count = max(2, round(syllables / (1 if language.startswith("cmn") else SYLLABLES_PER_WORD)))
        return " ".join(rng.choice(pool.words, count))
    words, left = [], syllables
    while left > 0:
        length = int(rng.integers(1, 4))
        words.append("".join(rng.choice(pool.syllables, length)))
        left -= length
    return " ".join(words)
