"""A wire that answers in one way, for the tests of what is sent and of what is made of an answer."""

import httpx

#: A success in the words of every vendor.
GOOD = '{"success": true, "result": {"id": "x"}, "Key": "httpwww"}'


class Wire:
    """Answers every request in one way, and keeps what was asked."""

    def __init__(self, status=200, text=GOOD, headers=None, trouble=None):
        self.asked: list[httpx.Request] = []
        self.reply = (status, text, headers)
        self.trouble = trouble

    def __call__(self, request):
        self.asked.append(request)
        if self.trouble:
            raise self.trouble
        status, text, headers = self.reply
        return httpx.Response(status, text=text, headers=headers)

    def client(self):
        return httpx.AsyncClient(transport=httpx.MockTransport(self))
