# ruff: noqa: RUF001 -- other languages have punctuation of their own
"""The words of recipients' pages in ten languages, and which of them a reader gets (RFC 9110 §12.5.4). Pure."""

from msgspec import Struct


class Words(Struct, frozen=True, kw_only=True):
    """``{sender}``, ``{address}`` and ``{group}`` stand for names."""

    title: str
    asks: str
    """Who gets mail from whom."""
    is_out: str
    """The recipient gets no mail any more."""
    unsubscribe_all: str
    resubscribe_all: str
    groups: str
    """The heading of the list of groups."""
    unsubscribe: str
    resubscribe: str
    is_in_group: str
    is_out_of_group: str
    done_all: str
    done_group: str
    back_all: str
    back_group: str
    broken: str
    """The title of the page of a link that is not one of ours."""
    unknown: str
    """What that page says."""
    later: str
    """It could not be stored now."""


ENGLISH = Words(
    title="Email preferences",
    asks="{address} receives email from {sender}.",
    is_out="{address} receives no more email from {sender}.",
    unsubscribe_all="Unsubscribe from all",
    resubscribe_all="Subscribe again",
    groups="Or choose what you receive:",
    unsubscribe="Unsubscribe",
    resubscribe="Subscribe again",
    is_in_group="You receive this.",
    is_out_of_group="You do not receive this.",
    done_all="You are unsubscribed. You will receive no more email from {sender}.",
    done_group="You are unsubscribed from “{group}”.",
    back_all="You are subscribed again.",
    back_group="You are subscribed to “{group}” again.",
    broken="This link does not work",
    unknown="This link is not valid. Please use the link in the email as it is.",
    later="Your choice could not be saved just now. Please try again in a minute.",
)
WORDS: dict[str, Words] = {
    "en": ENGLISH,
    "de": Words(
        title="E-Mail-Einstellungen",
        asks="{address} erhält E-Mails von {sender}.",
        is_out="{address} erhält keine E-Mails mehr von {sender}.",
        unsubscribe_all="Von allem abmelden",
        resubscribe_all="Wieder anmelden",
        groups="Oder wählen Sie aus, was Sie erhalten:",
        unsubscribe="Abmelden",
        resubscribe="Wieder anmelden",
        is_in_group="Das erhalten Sie.",
        is_out_of_group="Das erhalten Sie nicht.",
        done_all="Sie sind abgemeldet und erhalten keine E-Mails mehr von {sender}.",
        done_group="Sie sind von „{group}“ abgemeldet.",
        back_all="Sie sind wieder angemeldet.",
        back_group="Sie sind wieder für „{group}“ angemeldet.",
        broken="Dieser Link funktioniert nicht",
        unknown="Dieser Link ist ungültig. Bitte verwenden Sie den Link unverändert aus der E-Mail.",
        later="Ihre Auswahl konnte nicht gespeichert werden. Bitte versuchen Sie es in einer Minute noch einmal.",
    ),
    "fr": Words(
        title="Préférences e-mail",
        asks="{address} reçoit des e-mails de {sender}.",
        is_out="{address} ne reçoit plus d’e-mails de {sender}.",
        unsubscribe_all="Se désabonner de tout",
        resubscribe_all="Se réabonner",
        groups="Ou choisissez ce que vous recevez :",
        unsubscribe="Se désabonner",
        resubscribe="Se réabonner",
        is_in_group="Vous recevez ces e-mails.",
        is_out_of_group="Vous ne recevez pas ces e-mails.",
        done_all="Vous êtes désabonné. Vous ne recevrez plus d’e-mails de {sender}.",
        done_group="Vous êtes désabonné de « {group} ».",
        back_all="Vous êtes réabonné.",
        back_group="Vous êtes réabonné à « {group} ».",
        broken="Ce lien ne fonctionne pas",
        unknown="Ce lien n’est pas valide. Veuillez utiliser le lien de l’e-mail tel quel.",
        later="Votre choix n’a pas pu être enregistré. Veuillez réessayer dans une minute.",
    ),
    "es": Words(
        title="Preferencias de correo",
        asks="{address} recibe correos de {sender}.",
        is_out="{address} ya no recibe correos de {sender}.",
        unsubscribe_all="Cancelar todas las suscripciones",
        resubscribe_all="Suscribirse de nuevo",
        groups="O elija lo que recibe:",
        unsubscribe="Cancelar suscripción",
        resubscribe="Suscribirse de nuevo",
        is_in_group="Recibe estos correos.",
        is_out_of_group="No recibe estos correos.",
        done_all="Suscripción cancelada. No recibirá más correos de {sender}.",
        done_group="Suscripción a «{group}» cancelada.",
        back_all="Vuelve a estar suscrito.",
        back_group="Vuelve a estar suscrito a «{group}».",
        broken="Este enlace no funciona",
        unknown="Este enlace no es válido. Utilice el enlace del correo sin cambios.",
        later="No se pudo guardar su elección. Inténtelo de nuevo dentro de un minuto.",
    ),
    "it": Words(
        title="Preferenze e-mail",
        asks="{address} riceve e-mail da {sender}.",
        is_out="{address} non riceve più e-mail da {sender}.",
        unsubscribe_all="Annulla tutte le iscrizioni",
        resubscribe_all="Iscriviti di nuovo",
        groups="Oppure scegli cosa ricevere:",
        unsubscribe="Annulla iscrizione",
        resubscribe="Iscriviti di nuovo",
        is_in_group="Ricevi queste e-mail.",
        is_out_of_group="Non ricevi queste e-mail.",
        done_all="Iscrizione annullata. Non riceverai più e-mail da {sender}.",
        done_group="Iscrizione a «{group}» annullata.",
        back_all="Sei di nuovo iscritto.",
        back_group="Sei di nuovo iscritto a «{group}».",
        broken="Questo link non funziona",
        unknown="Questo link non è valido. Usa il link dell’e-mail senza modifiche.",
        later="Non è stato possibile salvare la tua scelta. Riprova tra un minuto.",
    ),
    "pt": Words(
        title="Preferências de e-mail",
        asks="{address} recebe e-mails de {sender}.",
        is_out="{address} já não recebe e-mails de {sender}.",
        unsubscribe_all="Cancelar todas as subscrições",
        resubscribe_all="Subscrever novamente",
        groups="Ou escolha o que recebe:",
        unsubscribe="Cancelar subscrição",
        resubscribe="Subscrever novamente",
        is_in_group="Recebe estes e-mails.",
        is_out_of_group="Não recebe estes e-mails.",
        done_all="Subscrição cancelada. Não receberá mais e-mails de {sender}.",
        done_group="Subscrição de «{group}» cancelada.",
        back_all="A subscrição está novamente ativa.",
        back_group="A subscrição de «{group}» está novamente ativa.",
        broken="Este link não funciona",
        unknown="Esta ligação não é válida. Utilize a ligação do e-mail sem alterações.",
        later="Não foi possível guardar a sua escolha. Tente novamente dentro de um minuto.",
    ),
    "nl": Words(
        title="E-mailvoorkeuren",
        asks="{address} ontvangt e-mail van {sender}.",
        is_out="{address} ontvangt geen e-mail meer van {sender}.",
        unsubscribe_all="Voor alles afmelden",
        resubscribe_all="Opnieuw aanmelden",
        groups="Of kies wat u ontvangt:",
        unsubscribe="Afmelden",
        resubscribe="Opnieuw aanmelden",
        is_in_group="U ontvangt dit.",
        is_out_of_group="U ontvangt dit niet.",
        done_all="U bent afgemeld en ontvangt geen e-mail meer van {sender}.",
        done_group="U bent afgemeld voor “{group}”.",
        back_all="U bent opnieuw aangemeld.",
        back_group="U bent opnieuw aangemeld voor “{group}”.",
        broken="Deze link werkt niet",
        unknown="Deze link is niet geldig. Gebruik de link in de e-mail ongewijzigd.",
        later="Uw keuze kon nu niet worden opgeslagen. Probeer het over een minuut opnieuw.",
    ),
    "pl": Words(
        title="Ustawienia wiadomości",
        asks="{address} otrzymuje wiadomości od: {sender}.",
        is_out="{address} nie otrzymuje już wiadomości od: {sender}.",
        unsubscribe_all="Wypisz mnie ze wszystkiego",
        resubscribe_all="Zapisz mnie ponownie",
        groups="Lub wybierz, co chcesz otrzymywać:",
        unsubscribe="Wypisz mnie",
        resubscribe="Zapisz mnie ponownie",
        is_in_group="Otrzymujesz te wiadomości.",
        is_out_of_group="Nie otrzymujesz tych wiadomości.",
        done_all="Wypisano. Nie będziesz już otrzymywać wiadomości od: {sender}.",
        done_group="Wypisano z „{group}”.",
        back_all="Zapisano ponownie.",
        back_group="Zapisano ponownie do „{group}”.",
        broken="Ten link nie działa",
        unknown="Ten link jest nieprawidłowy. Użyj linku z wiadomości bez zmian.",
        later="Nie udało się teraz zapisać wyboru. Spróbuj ponownie za minutę.",
    ),
    "sv": Words(
        title="E-postinställningar",
        asks="{address} får e-post från {sender}.",
        is_out="{address} får ingen mer e-post från {sender}.",
        unsubscribe_all="Avsluta alla prenumerationer",
        resubscribe_all="Prenumerera igen",
        groups="Eller välj vad du får:",
        unsubscribe="Avsluta prenumerationen",
        resubscribe="Prenumerera igen",
        is_in_group="Du får detta.",
        is_out_of_group="Du får inte detta.",
        done_all="Prenumerationen är avslutad. Du får ingen mer e-post från {sender}.",
        done_group="Prenumerationen på ”{group}” är avslutad.",
        back_all="Du prenumererar igen.",
        back_group="Du prenumererar på ”{group}” igen.",
        broken="Den här länken fungerar inte",
        unknown="Länken är inte giltig. Använd länken i e-postmeddelandet som den är.",
        later="Ditt val kunde inte sparas just nu. Försök igen om en minut.",
    ),
    "ja": Words(
        title="メール配信設定",
        asks="{address} は {sender} からのメールを受信しています。",
        is_out="{address} は {sender} からのメールを受信していません。",
        unsubscribe_all="すべての配信を停止する",
        resubscribe_all="配信を再開する",
        groups="または、受信する内容を選択してください：",
        unsubscribe="配信を停止する",
        resubscribe="配信を再開する",
        is_in_group="受信しています。",
        is_out_of_group="受信していません。",
        done_all="配信を停止しました。今後 {sender} からのメールは届きません。",
        done_group="「{group}」の配信を停止しました。",
        back_all="配信を再開しました。",
        back_group="「{group}」の配信を再開しました。",
        broken="このリンクは無効です",
        unknown="このリンクは無効です。メール内のリンクをそのままご利用ください。",
        later="ただいま設定を保存できませんでした。1分後にもう一度お試しください。",
    ),
}
LONGEST_HEADER = 200
"""Characters of Accept-Language that are read."""


def language_of(accepted: str) -> str:
    """The language of a page by an Accept-Language header: the first of the preferred ones that there is, else
    English."""
    found: list[tuple[float, int, str]] = []
    for order, entry in enumerate(accepted[:LONGEST_HEADER].split(",")):
        name, _, weight = entry.partition(";")
        language = name.strip().lower().partition("-")[0]
        try:
            quality = float(weight.strip().lower().removeprefix("q=")) if weight.strip() else 1.0
        except ValueError:
            continue
        if language in WORDS and 0 < quality <= 1:
            found.append((-quality, order, language))
    return min(found)[2] if found else "en"
