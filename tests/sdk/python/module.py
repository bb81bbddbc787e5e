"""A module on the official Python device SDK, told what to do by lines of JSON on stdin.

It says what it sees by lines of JSON on stdout. How it connects comes from the environment: CONNECTION_STRING, or
HOST, DEVICE, MODULE, CERTIFICATE and KEY; TRANSPORT is `mqtt` or `websockets`; CA is the hub's CA certificate.
"""

import json
import os
import sys
import threading
import uuid

from azure.iot.device import IoTHubModuleClient, Message, MethodResponse, X509

said = threading.Lock()


def say(event, **members):
    with said:
        print(json.dumps({"event": event, **members}), flush=True)


def make_client():
    with open(os.environ["CA"]) as file:
        options = {
            "server_verification_cert": file.read(),
            "websockets": os.environ["TRANSPORT"] == "websockets",
        }
    if "CONNECTION_STRING" in os.environ:
        return IoTHubModuleClient.create_from_connection_string(
            os.environ["CONNECTION_STRING"], **options
        )
    certificate = X509(
        cert_file=os.environ["CERTIFICATE"], key_file=os.environ["KEY"], pass_phrase=None
    )
    return IoTHubModuleClient.create_from_x509_certificate(
        certificate,
        os.environ["HOST"],
        os.environ["DEVICE"],
        module_id=os.environ["MODULE"],
        **options
    )


def answer(client, request):
    say("method", name=request.name, payload=request.payload)
    response = MethodResponse.create_from_method_request(request, 201, {"echo": request.payload})
    client.send_method_response(response)


def message(order):
    message = Message(json.dumps(order["body"]))
    message.content_type = "application/json"
    message.content_encoding = "utf-8"
    message.message_id = str(uuid.uuid4())
    message.custom_properties.update(order["properties"])
    return message


def carry_out(client, order):
    what = order["do"]
    if what == "twin":
        say("twin", twin=client.get_twin())
    elif what == "report":
        client.patch_twin_reported_properties(order["patch"])
        say("reported")
    elif what == "send":
        client.send_message(message(order))
        say("sent")
    else:
        raise ValueError(f"unknown order {what}")


def main():
    client = make_client()
    client.on_connection_state_change = lambda: say("connection", connected=client.connected)
    client.on_method_request_received = lambda request: answer(client, request)
    client.on_twin_desired_properties_patch_received = lambda patch: say("desired", patch=patch)
    client.connect()
    say("ready")
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "end":
            break
        try:
            carry_out(client, order)
        except Exception as error:  # whatever the SDK raises is what is to be seen
            say("failed", error=repr(error))
    client.shutdown()
    say("ended")


main()
