"""Words that say nothing about a text: articles, conjunctions, prepositions, pronouns and auxiliary verbs.

Written down here from the grammars' closed classes, and kept short. A frequent word weighs little in BM25 anyway, so a
list saves room and time more than it changes results, while every word in it can no longer be found: the collections
that are published as packages hold a thousand English words, "research" and "system" among them. Languages without a
list rely on the weights. Contractions fall apart at the apostrophe, and single letters are no words, so neither are
here.
"""

STOP_WORDS: dict[str, frozenset[str]] = {
    "en": frozenset(
        (
            "an the and or but nor if then than so as of at by for from in into on onto to with "
            "is am are was were be been being do does did has have had having will would shall should can could may "
            "it its he him his she her hers we us our ours you your yours they them their theirs me my mine "
            "this that these those there here who whom whose which what when where why how not no such"
        ).split()
    ),
    "de": frozenset(
        (
            "der die das den dem des ein eine einer einem einen eines und oder aber denn sondern als wie wenn dass "
            "in im an am auf aus bei beim mit nach von vom vor zu zum zur für über unter um durch gegen ohne bis "
            "ist sind war waren sein wird werden wurde wurden hat haben hatte hatten kann können "
            "ich du er sie es wir ihr mich dich ihn uns euch mir dir ihm ihnen sich "
            "dieser diese dieses diesem diesen nicht auch so"
        ).split()
    ),
    "fr": frozenset(
        (
            "le la les un une des du de au aux et ou mais ni donc or car si que qui quoi dont où "
            "dans en sur sous par pour avec sans vers chez entre "
            "est sont était étaient être été ai as avons avez ont avait avaient avoir "
            "je tu il elle nous vous ils elles on me te se lui leur leurs mon ma mes ton ta tes son sa ses notre votre "
            "ce cet cette ces ne pas plus"
        ).split()
    ),
    "es": frozenset(
        (
            "el la los las un una unos unas lo al del de y o u e pero ni que si como "
            "en con por para sin sobre entre desde hasta a ante "
            "es son era eran ser fue fueron ha han había habían haber está están estaba "
            "yo tú él ella nosotros ellos ellas me te se le les nos su sus mi mis tu tus "
            "este esta estos estas ese esa esos esas no"
        ).split()
    ),
    "it": frozenset(
        (
            "il lo la gli le un uno una di del dello della dei degli delle da dal dalla in nel nella nei nelle "
            "con su sul sulla per tra fra al alla ai alle ed ma se che chi cui come "
            "è sono era erano essere stato stata ha hanno aveva avevano avere "
            "io tu lui lei noi voi loro mi ti si ci vi suo sua suoi sue mio mia "
            "questo questa questi queste quello quella non"
        ).split()
    ),
    "nl": frozenset(
        (
            "de het een en of maar want als dat dan die dit deze "
            "in op aan van voor met door bij naar uit over onder om tot te zonder tegen "
            "is zijn was waren wordt worden werd werden heeft hebben had hadden kan kunnen "
            "ik je jij hij ze zij we wij jullie mij hem haar hen hun ons zich er niet ook"
        ).split()
    ),
    "pt": frozenset(
        (
            "o a os as um uma uns umas do da dos das de no na nos nas em ao aos à às e ou mas nem que se como "
            "com por para pelo pela sem sobre entre até "
            "é são era eram ser foi foram está estão tem têm tinha há "
            "eu tu ele ela nós eles elas me te lhe seu sua seus suas meu minha "
            "este esta estes estas esse essa isso não"
        ).split()
    ),
}
