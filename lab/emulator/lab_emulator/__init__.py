"""The lab's wrapper around ministack: pinned, launched safely, and mended where a drill depends on it.

ministack answers the AWS API in one process for all regions. Most of it behaves
as AWS does. This package replaces, at run time, the parts that a disaster
recovery drill would be misled by; each file in `mends` holds one of them and
says what AWS does and what ministack does instead.
"""
