/* The letters of pictures made of pixels: lines and curves, so that they are sharp in any size and
 * direction. For what they do not have, a box stands. */
#include "view/drawing.h"

typedef struct letter {
    int advance;
    const char *paths;
} letter;

/* From '!' on; see grdi_strokes. */
static const letter ascii[] = {
    { 5, "-babj .bn" },                  /* ! */
    { 8, "-aaad -eaed" },                /* " */
    { 14, "-dabo -iago -afkf -ajkj" },   /* # */
    { 13, "~jejbabahjhjnanak -fafp" },   /* $ */
    { 15, "oaaeaefaf ohjljloho -kabo" }, /* % */
    { 14, "~kobfbahahfahaoioki" },       /* & */
    { 4, "-aaad" },                      /* ' */
    { 8, "~eaaeameq" },                  /* ( */
    { 8, "~aaeeemaq" },                  /* ) */
    { 10, "-dadg -abgf -gbaf" },         /* * */
    { 12, "-eeem -aiii" },               /* + */
    { 6, "-cnaq" },                      /* , */
    { 9, "-aifi" },                      /* - */
    { 5, ".bn" },                        /* . */
    { 11, "-haap" },                     /* / */
    { 12, "oaaiaioao" },                 /* 0 */
    { 12, "-bdeaeo -boho" },             /* 1 */
    { 12, "~aeaaiaihao -aoio" },         /* 2 */
    { 12, "~adaaiaihdh ~dhihioaoal" },   /* 3 */
    { 12, "-gogaakjk" },                 /* 4 */
    { 12, "-haaaag ~agbfifioaoal" },     /* 5 */
    { 12, "~hcgaaaak oagigioao" },       /* 6 */
    { 12, "-aaiado" },                   /* 7 */
    { 12, "obahahhbh oahihioao" },       /* 8 */
    { 12, "~bmcoioie oaaiaiiai" },       /* 9 */
    { 5, ".bf .bn" },                    /* : */
    { 6, ".cf -cnaq" },                  /* ; */
    { 12, "-idaiin" },                   /* < */
    { 12, "-agig -akik" },               /* = */
    { 12, "-adiian" },                   /* > */
    { 12, "~adaaiaigegek .en" },         /* ? */
    { 19, "ofekekkfk ~kekkokoaaaaqkq" }, /* @ */
    { 14, "-aofako -cjij" },             /* A */
    { 14, "-aaao -aafa ~fajajhfh -ahfh ~fhkhkofo -aofo" },
    { 14, "~kdkaaaaokokl" },
    { 14, "-eoaoaaea ~eakakoeo" },
    { 12, "-iaaaaoio -ahhh" },
    { 11, "-iaaaao -ahhh" },
    { 14, "~kdkaaaaokoki -kigi" },
    { 14, "-aaao -kako -ahkh" },
    { 10, "-aaga -aogo -dado" },
    { 11, "-hahk ~hkhoaoak" },
    { 13, "-aaao -jaai -dgjo" },
    { 11, "-aaaoio" },
    { 16, "-aoaagjmamo" },
    { 14, "-aoaakoka" },
    { 15, "oaalaloao" },
    { 13, "-aoaafa ~fajajifi -fiai" },
    { 15, "oaalaloao -hklp" },
    { 13, "-aoaafa ~fajajifi -fiai -fijo" },
    { 13, "~jdjaaaahjhjoaoal" },
    { 13, "-aaka -fafo" },
    { 14, "-aaaj ~ajaokokj -kjka" },
    { 13, "-aafoka" },
    { 18, "-aaeohckooa" },
    { 13, "-aajo -jaao" },
    { 13, "-aafhka -fhfo" },
    { 13, "-aajaaojo" },
    { 8, "-eaaaaqeq" },        /* [ */
    { 11, "-aahp" },           /* \ */
    { 8, "-aaeaeqaq" },        /* ] */
    { 12, "-afeaif" },         /* ^ */
    { 12, "-aqiq" },           /* _ */
    { 7, "-aacc" },            /* ` */
    { 12, "oaeieioao -ieio" }, /* a */
    { 12, "-aaao oaeieioao" },
    { 12, "~igieaeaoioim" },
    { 12, "-iaio oaeieioao" },
    { 12, "-ajij ~ijieaeaoiohm" },
    { 9, "~gacace -ceco -aege" },
    { 12, "oaeieioao -ieio ~ioisbsaq" },
    { 12, "-aaao ~aiaeieij -ijio" },
    { 5, "-aeao .aa" },
    { 7, "-dedo ~dodsas .da" },
    { 11, "-aaao -heak -dhho" },
    { 7, "-aaal ~alaodo" },
    { 16, "-aeao ~aiaegegi -gigo ~gigememi -mimo" },
    { 12, "-aeao ~aiaeieij -ijio" },
    { 12, "oaeieioao" },
    { 12, "-aeas oaeieioao" },
    { 12, "-ieis oaeieioao" },
    { 9, "-aeao ~ajaefe" },
    { 11, "~hgheaeajhjhoaoam" },
    { 9, "-cacl ~clcogo -aege" },
    { 12, "-aeaj ~ajaoioij -ieio" },
    { 11, "-aeeoie" },
    { 16, "-aedogfjome" },
    { 11, "-aeho -heao" },
    { 11, "-aeeo -iecs" },
    { 11, "-aeheaoho" },
    { 9, "~facaciai ~aicicqfq" }, /* { */
    { 5, "-babs" },               /* | */
    { 9, "~aadadifi ~fididqaq" }, /* } */
    { 12, "~ajagegekikih" },      /* ~ */
};

static const struct {
    int32_t code;
    letter letter;
} beyond[] = {
    { ' ', { 7, "" } },
    { 0xa0, { 7, "" } },
    { 0xb7, { 5, ".bi" } },                /* middle dot */
    { 0xb1, { 12, "-eeek -ahih -anin" } }, /* plus or minus */
    { 0xd7, { 12, "-aeim -ieam" } },       /* times */
    { 0x2013, { 12, "-aiii" } },           /* en dash */
    { 0x2019, { 5, "-baad" } },            /* apostrophe */
    { 0x2026, { 13, ".an .en .in" } },     /* ellipsis */
    { 0x2192, { 15, "-ailihe -lihm" } },   /* arrow to the right */
    { 0x2212, { 12, "-aiii" } },           /* minus */
    { 0x2423, { 12, "-alaoioil" } },       /* a space that is seen */
};

const char *grdi_strokes(int32_t code, int *advance)
{
    const letter *found = NULL;
    if (code > ' ' && code <= '~')
        found = &ascii[code - '!'];
    for (size_t i = 0; !found && i < sizeof beyond / sizeof beyond[0]; i++)
        if (beyond[i].code == code)
            found = &beyond[i].letter;
    *advance = found ? found->advance : 13;
    return found ? found->paths : NULL;
}
