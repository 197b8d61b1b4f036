"""Words to sing. Lines need not make sense; they need to be sayable.

Origin: every word here was written for this project, none is quoted, and all of it is under the
project's own licence. A line is an opening, a beginning and an end, each optional but the
beginning (`written_lines` counts them); or loose words; or, where letters spell sounds plainly,
syllables that mean nothing, which fill up what the words leave rare.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Rng = np.random.Generator

VOCALISE = ("la", "na", "oh", "ah", "da", "hey", "ooh", "yeah", "doo", "lo", "ma")


@dataclass(frozen=True, slots=True)
class Language:
    """openings, starts, ends: parts of a line; words: loose ones; syllables: nonsense."""

    openings: tuple[str, ...]
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
        openings=_lines(
            """oh / and / but / tonight / baby / now / listen / come on/ so / tell them /
            one more time / yesterday / every morning / when it rains"""
        ),
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
        openings=_lines(
            """ay / y / pero / esta noche / mi vida / ahora / escucha / otra vez / cuando llueve"""
        ),
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
        openings=_lines(
            """oh / e / ma / stanotte / amore / adesso / ascolta / ancora / quando piove"""
        ),
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
        openings=_lines(
            """oh / und / aber / heute Nacht / mein Freund / hör zu / noch einmal / jeden Morgen"""
        ),
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
        openings=_lines(
            """oh / et / mais / cette nuit / mon ami / écoute / encore / maintenant / ce matin"""
        ),
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
        openings=_lines("""ああ / ねえ / でも / いま / そして / こんや / だから"""),
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
        openings=_lines("""a1 / ke3 shi4 / jin1 wan3 / xian4 zai4 / peng2 you3 / ran2 hou4"""),
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
        openings=_lines("""ai / e / mas / esta noite / meu bem / agora / escuta / outra vez"""),
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
        openings=_lines("""아 / 그래 / 오늘밤 / 지금 / 그리고 / 그대여"""),
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
    "cs": Language(
        openings=_lines("a / ale / dnes v noci / teď / poslouchej / ještě jednou / můj milý"),
        starts=_lines(
            """
            noc jde tiše domů / hledám tvoji ulici / ty neseš moje jméno / vítr chce zpívat / my
            tančíme v dešti / nikdo nic neřekl / vlaky jsou unavené / pojď se mnou přes pole /
            slyším mosty / zapomeň na léto / u okna sedí kdosi / otevři dveře
            """
        ),
        ends=_lines(
            """
            pod bílým nebem / až do rána / beze slova / jako malé dítě / přes hory / a potom zpátky
            / za naší zahradou / daleko k moři / a nic víc / po špičkách
            """
        ),
        words=_words(
            """
            láska moje duše řeka řeč zima léto město žena píseň hvězda měsíc voda oheň kámen růže
            ulice okno modrá bílá černá zelená tichý hlas čas ráno večer hodina ticho slunce déšť
            sníh křídlo kůň pes ptáci máma dům cesta jaro
            """
        ),
        syllables=_open_syllables("p t k b d f s š č m n l r v z ž h j c", "a e i o u á é í ou"),
    ),
    "ca": Language(
        openings=_lines("ai / i / avui / aquesta nit / ara / escolta / una altra vegada / amor"),
        starts=_lines(
            """
            la nit camina a poc a poc / busco el teu carrer / el vent em crida / demà tornarem / la
            pluja es desperta / vull una finestra / ballem descalços / dona'm la mà / el tren ja
            marxa / ningú no respon / les fulles cauran / la lluna s'apaga
            """
        ),
        ends=_lines(
            """
            damunt la sorra / fins a la riba / sense fer soroll / com un infant / dins del silenci /
            i res més / sota els estels / amb els ulls closos / vora el foc / cap a casa
            """
        ),
        words=_words(
            """
            cor foc jardí clau cel ciutat fulla gos pluja aigua poble verd blau vermell blanc dolç
            lent feliç gent noi noia llet any somni nen rei cantar viure tornar riure sortir temps
            vent pont font muntanya peix caixa platja mitja guitarra lluna mare pare
            """
        ),
        syllables=_open_syllables("p t c b d g f s x m n l r v z j ny ll", "a e i o u"),
    ),
    "ru": Language(
        openings=_lines("ах / и / но / сегодня / теперь / послушай / ещё раз / милый друг"),
        starts=_lines(
            """
            ночь идёт домой / я ищу твою улицу / ветер зовёт меня / ты несёшь моё имя / мы танцуем
            под дождём / никто не ответил / поезд уже ушёл / открой мне окно / я слышу мосты / дай
            мне руку / луна погасла / завтра мы вернёмся
            """
        ),
        ends=_lines(
            """
            под белым небом / до самого утра / не говоря ни слова / как малый ребёнок / за далёкой
            горой / и снова назад / у тихой реки / и больше ничего / в полной тишине / к синему морю
            """
        ),
        words=_words(
            """
            любовь сердце душа река речь зима лето город песня звезда месяц вода огонь камень роза
            улица окно синий белый чёрный зелёный тихий голос время утро вечер тишина солнце дождь
            снег птица мама дом дорога весна жизнь мечта ночь день
            """
        ),
    ),
    "fi": Language(
        openings=_lines("oi / ja / mutta / tänä yönä / nyt / kuuntele / vielä kerran / ystävä"),
        starts=_lines(
            """
            yö kulkee kotiin / etsin sinun katuasi / tuuli kutsuu minua / sinä kannat nimeäni / me
            tanssimme sateessa / kukaan ei vastannut / juna lähti jo / avaa minulle ikkuna / kuulen
            sillat / anna minulle käsi / kuu sammui hiljaa / huomenna palaamme
            """
        ),
        ends=_lines(
            """
            valkoisen taivaan alla / aamuun asti / sanaakaan sanomatta / kuin pieni lapsi / vuorten
            yli / ja takaisin / hiljaisella joella / eikä mitään muuta / kohti merta / silmät kiinni
            """
        ),
        words=_words(
            """
            rakkaus sydän sielu joki puhe talvi kesä kaupunki laulu tähti kuu vesi tuli kivi ruusu
            katu ikkuna sininen valkoinen musta vihreä hiljainen ääni aika aamu ilta hetki aurinko
            sade lumi lintu äiti talo tie kevät elämä unelma yö päivä mylly pöytä löytää
            """
        ),
        syllables=_open_syllables("p t k d h s m n l r v j", "a e i o u y ä ö aa ii uo yö ei"),
    ),
    "nl": Language(
        openings=_lines("o / en / maar / vannacht / mijn lief / nu / luister / nog een keer"),
        starts=_lines(
            """
            de nacht gaat naar huis / ik zoek jouw straat / jij draagt mijn naam / de wind wil
            vertellen / wij dansen in de regen / niemand heeft gesproken / de treinen zijn moe / kom
            mee over velden / ik hoor de bruggen / vergeet de zomer niet / er zit iemand aan het
            raam / geef mij je hand
            """
        ),
        ends=_lines(
            """
            onder de hemel / tot aan de morgen / zonder een woord / als een kind / over de bergen /
            en weer terug / achter de tuinen / ver tot de zee / met zachte stappen / en verder niets
            """
        ),
        words=_words(
            """
            vuur vreugde huis boom dromen mooi horen geluk stuk keuken kerk ik mij jou boek beek
            licht tussen twaalf paard appel tijd hart kat jong zingen lang tuin blauw groen rood wit
            zacht luid stem steen taal sneeuw snel wolk vogel water zee jaar schip school
            """
        ),
        syllables=_open_syllables("p t k b d g f s m n l r w z v h j", "a e i o u oe ie ui ij eu"),
    ),
    "pl": Language(
        openings=_lines("a / ale / dziś w nocy / teraz / posłuchaj / jeszcze raz / mój miły"),
        starts=_lines(
            """
            noc wraca do domu / szukam twojej ulicy / niesiesz moje imię / wiatr chce śpiewać /
            tańczymy w deszczu / nikt nic nie powiedział / pociągi są zmęczone / chodź ze mną przez
            pole / słyszę mosty / zapomnij o lecie / ktoś siedzi przy oknie / otwórz mi drzwi
            """
        ),
        ends=_lines(
            """
            pod białym niebem / aż do rana / bez jednego słowa / jak małe dziecko / przez góry / i z
            powrotem / za naszym ogrodem / daleko do morza / i nic więcej / po cichu
            """
        ),
        words=_words(
            """
            miłość moja dusza rzeka mowa zima lato miasto żona pieśń gwiazda księżyc woda ogień
            kamień róża ulica okno biała czarna zielona cichy głos czas rano wieczór godzina cisza
            słońce deszcz śnieg koń pies ptak mama dom droga wiosna życie
            """
        ),
        syllables=_open_syllables("p t k b d g f s sz cz m n l r w z ż ł j", "a e i o u y ą ę"),
    ),
    "tr": Language(
        openings=_lines("ah / ve / ama / bu gece / şimdi / dinle / bir kez daha / canım"),
        starts=_lines(
            """
            gece eve yürüyor / senin sokağını arıyorum / rüzgar beni çağırır / adımı sen taşırsın /
            yağmurda dans ederiz / kimse cevap vermedi / tren çoktan gitti / bana bir pencere aç /
            köprüleri duyarım / elini ver bana / ay sessizce söndü / yarın döneceğiz
            """
        ),
        ends=_lines(
            """
            beyaz göğün altında / sabaha kadar / tek söz söylemeden / küçük çocuk gibi / dağların
            üstünden / sonra geri / sakin bir nehirde / başka hiçbir şey / denize doğru / gözler
            kapalı
            """
        ),
        words=_words(
            """
            sevgi kalp ruh nehir söz kış yaz şehir şarkı yıldız ay su ateş taş gül sokak pencere
            mavi beyaz kara yeşil sessiz ses zaman sabah akşam saat güneş yağmur kar kuş anne ev yol
            bahar hayat rüya gece gün deniz üzüm köprü
            """
        ),
        syllables=_open_syllables("p t k b d g f s ş ç m n l r v z h y c", "a e ı i o ö u ü"),
    ),
    "sv": Language(
        openings=_lines("å / och / men / i natt / min vän / nu / lyssna / en gång till"),
        starts=_lines(
            """
            natten går hem / jag söker din gata / du bär mitt namn / vinden vill berätta / vi dansar
            i regnet / ingen har svarat / tåget har gått / kom med över fälten / jag hör broarna /
            glöm inte sommaren / någon sitter vid fönstret / ge mig din hand
            """
        ),
        ends=_lines(
            """
            under himlen / till morgonen / utan ett ord / som ett barn / över bergen / och tillbaka
            igen / bakom våra träd / långt bort till havet / med tysta steg / och inget mer
            """
        ),
        words=_words(
            """
            eld glädje hem träd dröm vacker höra lycka stycke kök kyrka jag mig dig bok bäck ljus
            mellan tolv häst äpple tid hjärta katt ung sjunga lång blå grön röd vit tyst röst sten
            språk snö snabb moln fågel vatten sjö år sjuk sju stjärna
            """
        ),
        syllables=_open_syllables("p t k b d g f s m n l r v h j", "a e i o u y å ä ö"),
    ),
    "id": Language(
        openings=_lines(
            "oh / dan / tapi / malam ini / sekarang / dengarlah / sekali lagi / sayang"
        ),
        starts=_lines(
            """
            malam berjalan pulang / aku mencari jalanmu / angin memanggil namaku / kita menari di
            hujan / tak ada yang menjawab / kereta sudah pergi / bukalah jendela itu / aku mendengar
            jembatan / berikan tanganmu / bulan padam perlahan / besok kita kembali / jangan lupakan
            """
        ),
        ends=_lines(
            """
            di bawah langit putih / sampai pagi / tanpa satu kata / seperti anak kecil / melewati
            gunung / lalu kembali / di sungai yang tenang / tak ada lagi / menuju laut / dengan mata
            tertutup
            """
        ),
        words=_words(
            """
            cinta hati jiwa sungai bicara kota lagu bintang bulan air api batu mawar jalan jendela
            biru putih hitam hijau sunyi suara waktu pagi sore jam matahari hujan burung ibu rumah
            hidup mimpi malam hari laut pantai bunga nyanyi senyum
            """
        ),
        syllables=_open_syllables("p t k b d g s c j m n l r w h y ny", "a e i o u"),
    ),
}

SYLLABLES_PER_WORD = 1.7


def written_lines(language: str) -> list[str]:
    """Every line of the grammar of openings, beginnings and ends, without loose words."""
    pool = LANGUAGES[language]
    return [
        " ".join(part for part in (opening, start, end) if part)
        for opening in ("", *pool.openings)
        for start in pool.starts
        for end in ("", *pool.ends)
    ]


def write_line(rng: Rng, language: str, syllables: int, vocalise: bool = False) -> str:
    """A line of about `syllables` syllables; a vocalise sings one or two of la, na, oh, …."""
    pool = LANGUAGES[language]
    if vocalise:
        return " ".join(rng.choice(rng.choice(VOCALISE, 2), syllables))
    kind = rng.random()
    if kind < 0.6:
        opening = str(rng.choice(pool.openings)) + " " if rng.random() < 0.4 else ""
        line = opening + str(rng.choice(pool.starts))
        return f"{line} {rng.choice(pool.ends)}" if syllables > 7 else line
    if kind < 0.85 or not pool.syllables:
        count = max(2, round(syllables / (1 if language.startswith("cmn") else SYLLABLES_PER_WORD)))
        return " ".join(rng.choice(pool.words, count))
    words, left = [], syllables
    while left > 0:
        length = int(rng.integers(1, 4))
        words.append("".join(rng.choice(pool.syllables, length)))
        left -= length
    return " ".join(words)
