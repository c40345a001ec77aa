from pathlib import Path

from grpc_tools import protoc

from pilot_plus.wire import generate


def test_the_generated_code_is_that_of_the_messages(tmp_path: Path) -> None:
    for proto in generate.HERE.glob("*.proto"):
        assert protoc.main(["protoc", f"-I{generate.ROOT}", f"--python_out={tmp_path}", str(proto)]) == 0
        made = f"{proto.stem}_pb2.py"
        assert (tmp_path / "pilot_plus" / "wire" / made).read_text() == (generate.HERE / made).read_text()
