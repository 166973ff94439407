#include "hv/agent-reply.h"

#include <json-glib/json-glib.h>
#include <string.h>

/* The right answers have some 20 bytes; no nesting that fits in here is too deep for a parser. */
#define REPLY_MAX 4096

static bool complain(GError **error, const char *why)
{
    g_set_error(error, VMSNAPFS_ERROR, ERR_IO,
                "the guest agent does not say whether it is frozen: %s", why);
    return false;
}

static const char *member_text(JsonObject *object, const char *name)
{
    JsonNode *node = json_object_get_member(object, name);

    return node && json_node_get_value_type(node) == G_TYPE_STRING ? json_node_get_string(node)
                                                                   : NULL;
}

static bool read_object(JsonObject *object, bool *out_frozen, GError **error)
{
    const char *word = member_text(object, "return");

    if (json_object_has_member(object, "error"))
        return complain(error, "it answers with an error");
    if (!word)
        return complain(error, "its answer has no word");
    if (!g_str_equal(word, "frozen") && !g_str_equal(word, "thawed"))
        return complain(error, "its word is neither frozen nor thawed");
    *out_frozen = g_str_equal(word, "frozen");
    return true;
}

bool agent_reply_frozen(const char *reply, bool *out_frozen, GError **error)
{
    g_autoptr(JsonParser) parser = json_parser_new_immutable();

    if (!reply || strnlen(reply, REPLY_MAX + 1) > REPLY_MAX)
        return complain(error, reply ? "its answer is too long" : "there is no answer");
    if (!g_utf8_validate(reply, -1, NULL) || !json_parser_load_from_data(parser, reply, -1, NULL))
        return complain(error, "its answer is no JSON");

    JsonNode *root = json_parser_get_root(parser);
    if (!root || !JSON_NODE_HOLDS_OBJECT(root))
        return complain(error, "its answer is no object");
    return read_object(json_node_get_object(root), out_frozen, error);
}
