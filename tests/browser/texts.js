/* The texts that are seen, with their contrast: for chrome.py. */
(() => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});

    /* Any colour of CSS as red, green, blue and alpha from 0 to 1. */
    function rgba(colour) {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data].map(part => part / 255);
    }

    const over = (above, below) => [0, 1, 2].map(i => above[i] * above[3] + below[i] * (1 - above[3]));

    function luminance(colour) {
        const linear = colour.map(c => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    }

    function ratio(a, b) {
        const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
        return (high + 0.05) / (low + 0.05);
    }

    /* The element and those around it, outermost first. */
    function path(element) {
        const around = [];
        for (let at = element; at; at = at.parentElement) around.unshift(at);
        return around;
    }

    /* The window's own ground: white, or what the page's colour scheme makes of it. */
    function canvasGround() {
        const probe = document.createElementNS("http://www.w3.org/1999/xhtml", "i");
        document.documentElement.append(probe);
        probe.style.color = "Canvas";
        const colour = rgba(getComputedStyle(probe).color);
        probe.remove();
        return colour;
    }
    const bottom = canvasGround();

    function ground(element) {
        let colour = bottom;
        for (const at of path(element)) colour = over(rgba(getComputedStyle(at).backgroundColor), colour);
        return colour;
    }

    /* In a picture the ground is the shape that was drawn last below the text's middle. */
    function groundInPicture(text, box) {
        const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
        let colour = ground(text.ownerSVGElement);
        for (const shape of text.ownerSVGElement.querySelectorAll("rect, path, circle, polygon")) {
            if (shape.compareDocumentPosition(text) !== Node.DOCUMENT_POSITION_FOLLOWING) continue;
            const place = new DOMPoint(x, y).matrixTransform(shape.getScreenCTM().inverse());
            if (shape.isPointInFill(place)) colour = over(ink(shape, getComputedStyle(shape).fill), colour);
        }
        return colour;
    }

    function ink(element, colour) {
        const seen = rgba(colour === "none" ? "transparent" : colour);
        for (const at of path(element)) seen[3] *= getComputedStyle(at).opacity;
        return seen;
    }

    const texts = [];
    const walker = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);
    for (let node; (node = walker.nextNode());) {
        const element = node.parentElement;
        const range = document.createRange();
        range.selectNodeContents(node);
        const box = range.getBoundingClientRect();
        const style = getComputedStyle(element);
        if (!node.data.trim() || box.width <= 1 || box.height <= 1 || style.visibility === "hidden" ||
            element.closest("script, style, title, desc, :disabled, [aria-disabled=true]")) continue;
        const drawn = element instanceof SVGElement;
        const below = drawn ? groundInPicture(element, box) : ground(element);
        const size = parseFloat(style.fontSize);
        texts.push({
            text: node.data.trim(),
            ratio: ratio(over(ink(element, drawn ? style.fill : style.color), below), below),
            large: size >= 24 || (size >= 18.66 && style.fontWeight >= 700),
        });
    }
    return texts;
})()
