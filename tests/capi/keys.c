/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The pure functions: shared key, digest-string, proof of possession. Vectors of RFC 4231 and RFC 4474.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

#define HUGE_LENGTH ((size_t)16 * 1024 * 1024 + 1)

static const sipoauth_str null_with_length = {NULL, 5};

/* The file's octets, NUL-terminated, to be freed. */
static char *vector(const char *name, size_t *len)
{
    char path[1024];
    char *content = (char *)malloc(4096);
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", argument("vectors"), name);
    file = fopen(path, "rb");
    if (file == NULL || content == NULL) {
        fprintf(stderr, "%s cannot be read\n", path);
        exit(2);
    }
    *len = fread(content, 1, 4095, file);
    content[*len] = '\0';
    fclose(file);
    return content;
}

static void shared_key(void)
{
    /* RFC 4231 test case 2, its data split in three */
    static const unsigned char expected[32] = {0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24,
        0x26, 0x08, 0x95, 0x75, 0xc7, 0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27, 0x39, 0x83, 0x9d, 0xec, 0x58, 0xb9, 0x64,
        0xec, 0x38, 0x43};
    sipoauth_str code = text("Jefe"), from_tag = text("what do ya "), to_tag = text("want for "),
                 call_id = text("nothing?"), none = text("");
    unsigned char key[33], slides[32];

    memset(key, 0x5a, sizeof(key));
    EXPECT_STATUS(sipoauth_shared_key(SIPOAUTH_KEY_ORDER_DRAFT, code, from_tag, to_tag, call_id, key), SIPOAUTH_OK);
    EXPECT(memcmp(key, expected, 32) == 0 && key[32] == 0x5a);
    EXPECT_STATUS(
        sipoauth_shared_key(SIPOAUTH_KEY_ORDER_SLIDES, code, from_tag, to_tag, call_id, slides), SIPOAUTH_OK);
    EXPECT(memcmp(slides, expected, 32) != 0);

    EXPECT_STATUS(sipoauth_shared_key(2, code, from_tag, to_tag, call_id, key), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_shared_key(UINT32_MAX, code, from_tag, to_tag, call_id, key), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_shared_key(0, code, from_tag, to_tag, call_id, NULL), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_shared_key(0, null_with_length, from_tag, to_tag, call_id, key), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_shared_key(0, code, null_with_length, to_tag, call_id, key), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_shared_key(0, code, from_tag, null_with_length, call_id, key), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_shared_key(0, code, from_tag, to_tag, null_with_length, key), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(
        sipoauth_shared_key(0, octets("x", HUGE_LENGTH), from_tag, to_tag, call_id, key), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_shared_key(0, octets("x", SIZE_MAX), from_tag, to_tag, call_id, key), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_shared_key(0, none, from_tag, to_tag, call_id, key), SIPOAUTH_E_INPUT);
    EXPECT_STATUS(sipoauth_shared_key(0, code, none, to_tag, call_id, key), SIPOAUTH_E_INPUT);
    EXPECT_STATUS(sipoauth_shared_key(0, code, from_tag, none, call_id, key), SIPOAUTH_E_INPUT);
    EXPECT_STATUS(sipoauth_shared_key(0, code, from_tag, to_tag, octets(NULL, 0), key), SIPOAUTH_E_INPUT);
    EXPECT(memcmp(key, expected, 32) == 0);
}

static sipoauth_digest_parts parts_of_bye(void)
{
    sipoauth_digest_parts parts;

    memset(&parts, 0, sizeof(parts));
    parts.struct_size = sizeof(parts);
    parts.from_uri = text("sip:bob@biloxi.example.org");
    parts.to_uri = text("sip:alice@atlanta.example.com");
    parts.call_id = text("a84b4c76e66710");
    parts.cseq = text("0231  BYE");
    parts.date = text("Thu, 21 Feb 2002 14:19:51 GMT");
    return parts;
}

static void expect_digest(const sipoauth_digest_parts *parts, const char *file)
{
    char digest[4096];
    size_t len = 99, wanted;
    char *canonical = vector(file, &wanted);

    EXPECT_STATUS(sipoauth_digest_string(parts, NULL, 0, &len), SIPOAUTH_E_SPACE);
    EXPECT(len == wanted);
    EXPECT_STATUS(sipoauth_digest_string(parts, digest, wanted - 1, &len), SIPOAUTH_E_SPACE);
    memset(digest, 0x5a, sizeof(digest));
    EXPECT_STATUS(sipoauth_digest_string(parts, digest, wanted, &len), SIPOAUTH_OK);
    EXPECT(len == wanted && memcmp(digest, canonical, wanted) == 0 && digest[wanted] == 0x5a);
    free(canonical);
}

static void digest_string(void)
{
    sipoauth_digest_parts parts = parts_of_bye(), wrong;
    sipoauth_str *member[7];
    char buf[16], digest_with_star[512], *invite, *body;
    size_t len = 99, i;

    expect_digest(&parts, "bye.canonical");
    parts.contact_uri = text("*");
    EXPECT_STATUS(sipoauth_digest_string(&parts, NULL, 0, &len), SIPOAUTH_E_SPACE);
    sipoauth_digest_string(&parts, digest_with_star, sizeof(digest_with_star), &len);
    EXPECT(len > 3 && memcmp(digest_with_star + len - 3, "|*|", 3) == 0);

    parts.request_uri = text("sip:bob@biloxi.example.org");
    sipoauth_digest_string(&parts, digest_with_star, sizeof(digest_with_star) - 1, &len);
    digest_with_star[len] = '\0';
    EXPECT(strstr(digest_with_star, " BYE sip:bob@biloxi.example.org|") != NULL);
    parts.request_uri = text("sip:a b@x");
    EXPECT_STATUS(sipoauth_digest_string(&parts, buf, 1, &len), SIPOAUTH_E_INPUT);
    parts.request_uri = octets(NULL, 0);

    invite = vector("invite.message", &len);
    body = strstr(invite, "\r\n\r\n") + 4;
    parts.from_uri = text("sip:alice@atlanta.example.com");
    parts.to_uri = text("sip:bob@biloxi.example.org");
    parts.cseq = text("314159 INVITE");
    parts.date = text("Thu, 21 Feb 2002 13:02:03 GMT");
    parts.contact_uri = text("sip:alice@pc33.atlanta.example.com");
    parts.body = octets(body, len - (size_t)(body - invite));
    expect_digest(&parts, "invite.canonical");

    EXPECT_STATUS(sipoauth_digest_string(NULL, buf, sizeof(buf), &len), SIPOAUTH_E_ARGUMENT);
    EXPECT(len == 0);
    EXPECT_STATUS(sipoauth_digest_string(&parts, NULL, 16, &len), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_digest_string(&parts, buf, sizeof(buf), NULL), SIPOAUTH_E_ARGUMENT);
    wrong = parts;
    wrong.struct_size = sizeof(wrong) - 1;
    EXPECT_STATUS(sipoauth_digest_string(&wrong, buf, sizeof(buf), &len), SIPOAUTH_E_ARGUMENT);
    member[0] = &wrong.from_uri;
    member[1] = &wrong.to_uri;
    member[2] = &wrong.call_id;
    member[3] = &wrong.cseq;
    member[4] = &wrong.date;
    member[5] = &wrong.contact_uri;
    member[6] = &wrong.body;
    for (i = 0; i < 7; i++) {
        wrong = parts;
        *member[i] = null_with_length;
        EXPECT_STATUS(sipoauth_digest_string(&wrong, buf, sizeof(buf), &len), SIPOAUTH_E_ARGUMENT);
        *member[i] = octets("x", HUGE_LENGTH);
        EXPECT_STATUS(sipoauth_digest_string(&wrong, buf, sizeof(buf), &len), SIPOAUTH_E_ARGUMENT);
        *member[i] = octets("x", 0);
        EXPECT_STATUS(
            sipoauth_digest_string(&wrong, buf, 1, &len), i < 5 ? SIPOAUTH_E_INPUT : SIPOAUTH_E_SPACE);
    }
    wrong = parts;
    wrong.struct_size = 2 * sizeof(wrong); /* of a newer header: what it knows more is not looked at */
    EXPECT_STATUS(sipoauth_digest_string(&wrong, NULL, 0, &len), SIPOAUTH_E_SPACE);
    member[3] = &wrong.contact_uri;
    for (i = 0; i < 4; i++) { /* only the body may have a separator */
        wrong = parts;
        *member[i] = text("sip:a|b@example.test");
        EXPECT_STATUS(sipoauth_digest_string(&wrong, buf, 1, &len), SIPOAUTH_E_INPUT);
    }
    wrong = parts;
    wrong.cseq = text("REGISTER 1");
    EXPECT_STATUS(sipoauth_digest_string(&wrong, buf, sizeof(buf), &len), SIPOAUTH_E_INPUT);
    wrong = parts;
    wrong.date = text("\xff\xfe");
    EXPECT_STATUS(sipoauth_digest_string(&wrong, buf, sizeof(buf), &len), SIPOAUTH_E_INPUT);
    free(invite);
}

static void proof_of_possession(void)
{
    /* RFC 4231 test case 2 in every spelling */
    static const char *const spelling[] = {
        "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM",                      /* base64url */
        "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=",                     /* base64 */
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", /* hex */
        "5BDCC146BF60754E6A042426089575C75A003F089D2739839DEC58B964EC3843",
    };
    sipoauth_str key = text("Jefe"), digest = text("what do ya want for nothing?");
    char pop[44];
    size_t len = 99, i;

    memset(pop, 0x5a, sizeof(pop));
    EXPECT_STATUS(sipoauth_pop_make(key, digest, pop, 43, &len), SIPOAUTH_OK);
    EXPECT(len == 43 && memcmp(pop, spelling[0], 43) == 0 && pop[43] == 0x5a);
    for (i = 0; i < sizeof(spelling) / sizeof(spelling[0]); i++) {
        EXPECT_STATUS(sipoauth_pop_verify(key, digest, text(spelling[i])), SIPOAUTH_OK);
        EXPECT_STATUS(sipoauth_pop_verify(text("Jeff"), digest, text(spelling[i])), SIPOAUTH_E_MISMATCH);
        EXPECT_STATUS(sipoauth_pop_verify(key, text("nothing?"), text(spelling[i])), SIPOAUTH_E_MISMATCH);
        EXPECT_STATUS(sipoauth_pop_verify(key, digest, octets(spelling[i], 42)), SIPOAUTH_E_INPUT);
    }
    /* both alphabets of base64 */
    EXPECT_STATUS(sipoauth_pop_make(text("1"), text(""), pop, 43, &len), SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_pop_verify(text("1"), text(""), octets(pop, 43)), SIPOAUTH_OK);
    for (i = 0; i < 43; i++)
        pop[i] = pop[i] == '-' ? '+' : pop[i] == '_' ? '/' : pop[i];
    EXPECT_STATUS(sipoauth_pop_verify(text("1"), text(""), octets(pop, 43)), SIPOAUTH_OK);

    EXPECT_STATUS(sipoauth_pop_make(key, digest, pop, 42, &len), SIPOAUTH_E_SPACE);
    EXPECT(len == 43);
    EXPECT_STATUS(sipoauth_pop_make(key, digest, NULL, 0, &len), SIPOAUTH_E_SPACE);
    EXPECT_STATUS(sipoauth_pop_make(key, digest, NULL, 43, &len), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_pop_make(key, digest, pop, 43, NULL), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_pop_make(null_with_length, digest, pop, 43, &len), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_pop_make(key, null_with_length, pop, 43, &len), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_pop_make(key, octets("x", HUGE_LENGTH), pop, 43, &len), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_pop_make(octets(NULL, 0), digest, pop, 43, &len), SIPOAUTH_E_INPUT);
    EXPECT_STATUS(sipoauth_pop_verify(null_with_length, digest, text(spelling[0])), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_pop_verify(key, null_with_length, text(spelling[0])), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_pop_verify(key, digest, null_with_length), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_pop_verify(key, digest, octets("x", HUGE_LENGTH)), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_pop_verify(octets(NULL, 0), digest, text(spelling[0])), SIPOAUTH_E_INPUT);
    EXPECT_STATUS(sipoauth_pop_verify(key, digest, octets(NULL, 0)), SIPOAUTH_E_INPUT);
    EXPECT_STATUS(sipoauth_pop_verify(key, digest, text("\xff\xfe\xfd")), SIPOAUTH_E_INPUT);
}

void test_keys(void)
{
    shared_key();
    digest_string();
    proof_of_possession();
}
