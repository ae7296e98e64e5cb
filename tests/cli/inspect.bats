#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# info, map and check, compared with qemu-img on the same images.
load common

# a.qed: data, a zero cluster, holes. base.raw <- o.qed, a.qed <- o2.qed.
make_images() {
    qemu-img create -q -f qed a.qed 100M
    qemu-io -f qed -c "write -P 1 0 128k" -c "write -P 2 1M 64k" -c "write -z 2M 64k" a.qed
    truncate -s 64M base.raw
    printf x | dd of=base.raw bs=1 seek=5000000 conv=notrunc status=none
    qemu-img create -q -f qed -b base.raw -F raw o.qed
    qemu-io -f qed -c "write -P 4 1M 100k" o.qed
    qemu-img create -q -f qed -b a.qed -F qed o2.qed 200M
    qemu-io -f qed -c "write -P 3 64k 64k" -c "write -z 128k 64k" o2.qed
} >/dev/null

# qed adds lines about the format after those of qemu-img.
normalize='/^Format specific information/d; /^    table size/d'

@test "info prints what qemu-img prints" {
    make_images
    for image in a.qed o.qed o2.qed base.raw ./a.qed file:a.qed; do
        normalize="$normalize; s/^image: file:/image: /" same_as_qemu info "$image"
        [[ $image == file:* ]] || json_covers_qemu info "$image"
    done
    same_as_qemu info -f raw a.qed
    same_as_qemu info --backing-chain o2.qed
    json_covers_qemu info --backing-chain o2.qed
    json_covers_qemu info --backing-chain o.qed
    json_covers_qemu info -U a.qed
}

@test "info shows where a relative backing file is" {
    make_images
    mkdir sub
    qemu-img create -q -f qed -b ../base.raw -F raw sub/y.qed
    same_as_qemu info sub/y.qed
    json_covers_qemu info sub/y.qed
    expect 1 qed info --backing-chain sub/y.qed
    [[ $errors == *"--backing"* || $errors == *"outside"* ]]
    expect 0 qed info --backing-chain --backing=any sub/y.qed
    QED_BACKING=any expect 0 qed map sub/y.qed
    same_as_qemu info --backing-chain --backing=any sub/y.qed || true
}

@test "info tells the truth about a dirty image" {
    make_images
    printf '\2' | dd of=a.qed bs=1 seek=16 conv=notrunc status=none
    expect 0 qed info --output=json a.qed
    [[ $(jq '."dirty-flag"' <<<"$output") == true ]]
    expect 0 qed info a.qed
    [[ $output == *"cleanly shut down: no"* ]]
}

@test "info, map and check refuse what is not there and what is no image" {
    for command in info map check; do
        expect 1 qed $command gone.qed
        [[ $errors == *gone.qed* ]]
        expect 1 qed $command
        expect 1 qed $command --output=xml gone.qed
        expect 1 qed $command --object secret,id=a gone.qed
        expect 1 qed $command --image-opts driver=qed
        mkfifo "fifo-$command"
        expect 1 qed $command "fifo-$command"
        expect 1 qed $command .
    done
    truncate -s 1M a.raw
    expect 1 qed info -f qed a.raw
    expect 1 qed info json:{}
    expect 1 qed info nbd://localhost
}

@test "map prints what qemu-img prints" {
    make_images
    for image in a.qed o.qed o2.qed base.raw; do
        same_as_qemu map "$image"
        same_as_qemu map --output=json "$image"
        same_as_qemu map --start-offset=1M --max-length=64k --output=json "$image"
        same_as_qemu map -s 100k -l 300000 "$image"
        same_as_qemu map -s 50M "$image"
        same_as_qemu map -U "$image"
    done
    same_as_qemu map -s 200M base.raw
}

@test "check agrees with qemu-img on sound images" {
    make_images
    for image in a.qed o.qed o2.qed; do
        same_as_qemu check "$image"
        same_as_qemu check -f qed "$image"
        same_as_qemu check -q "$image"
        json_covers_qemu check "$image"
        same_as_qemu check -r all "$image"
    done
    same_as_qemu check base.raw
    expect 63 qed check base.raw
    expect 1 qed check -r foo a.qed
    expect 1 qed check -U -r all a.qed
}

damage() { # entry value: writes an L2 entry of a.qed
    python3 - "$1" "$2" <<'PY'
import struct, sys
with open("a.qed", "r+b") as f:
    f.seek(40)
    f.seek(struct.unpack("<Q", f.read(8))[0])
    l2 = struct.unpack("<Q", f.read(8))[0]
    f.seek(l2 + 8 * int(sys.argv[1]))
    f.write(struct.pack("<Q", int(sys.argv[2], 0)))
PY
}

@test "check finds a leak, and -r leaks reclaims it" {
    make_images
    damage 1 0
    normalize='/^leak:/d' same_as_qemu check a.qed
    json_covers_qemu check a.qed
    expect 3 qed check a.qed
    expect 0 qed check -r leaks a.qed
    [[ $output == *"1 leaked clusters"* ]]
    expect 0 qed check a.qed
    qemu-img check -q -f qed a.qed
}

@test "check finds a bad entry, and -r all clears it" {
    make_images
    damage 1 0x123456780000
    expect 2 qed check a.qed
    [[ $output == *ERROR* ]]
    expect 2 qed check --output=json a.qed
    [[ $(jq .corruptions <<<"$output") == 1 ]]
    [[ $(jq -r '.findings[0].kind' <<<"$output") == bad-l2-entry ]]
    expect 0 qed check -r all a.qed
    expect 0 qed check a.qed
    qemu-img check -q -f qed a.qed
}

@test "check -r all copies a doubly named cluster apart, which qemu-img cannot" {
    make_images
    first="$(qed map --output=json a.qed | jq '.[0].offset')"
    damage 1 "$first"
    qemu-io -r -f qed -c "read -P 1 0 128k" a.qed
    expect 2 qed check a.qed
    run qemu-img check -r all -f qed a.qed
    [[ $status == 2 ]]
    expect 0 qed check -r all a.qed
    expect 0 qed check a.qed
    qemu-img check -q -f qed a.qed
    qemu-io -r -f qed -c "read -P 1 0 128k" a.qed
}

@test "a full disk or a closed pipe is not success" {
    make_images
    expect 1 bash -c '"$QED_BIN" info a.qed >/dev/full'
    [[ $errors == *"standard output"* ]]
}

@test "map draws a page and a picture that need nothing else" {
    make_images
    expect 0 qed map --html report.html --svg map.svg o2.qed
    python3 - <<'PY'
import html.parser, xml.dom.minidom

class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.cells = [], 0
    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            assert name not in ("src", "href"), (tag, name, value)
            if name == "data-cells":
                self.cells += value.count("],[") + 1

page = Page()
page.feed(open("report.html", encoding="utf-8").read())
assert (page.tags.count("figure"), page.tags.count("h1")) == (3, 1)
assert page.cells > 100
picture = xml.dom.minidom.parse("map.svg").documentElement
assert picture.getAttribute("role") == "img"
assert "A disk of 200 MiB" in picture.getAttribute("aria-label")
PY
    expect 0 qed map --html - o2.qed
    [[ $output == "<!doctype html>"* && $output == *"a.qed"* ]]
    expect 1 qed map --svg x.svg base.raw
    [[ ! -e x.svg ]]
}
